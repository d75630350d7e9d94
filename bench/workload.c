/* The event source of the benchmark: calls one rare system call as often as it is told.
 *
 * usage: workload policy|path
 *   policy  sched_get_priority_max(0..7): no effect, no string
 *   path    truncate("/nonexistent/bench/0".."7"): fails at once, carries a string
 * Each line of standard input, "EVENTS RATE", asks for that many calls at RATE a second (0: as fast as it
 * can), given out in steps of a tenth of a millisecond; the answer is one line, the seconds that they took.
 */
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double run(int use_path, long events, double rate)
{
	static char path[] = "/nonexistent/bench/0";
	double began = seconds();

	for (long done = 0; done < events;) {
		long allowed = events;
		if (rate > 0) {
			allowed = (long)((seconds() - began) * rate);
			if (allowed <= done) {
				struct timespec tick = { 0, 100000 };
				nanosleep(&tick, NULL);
				continue;
			}
			if (allowed > events)
				allowed = events;
		}
		for (; done < allowed; done++) {
			if (use_path) {
				path[sizeof(path) - 2] = (char)('0' + (done & 7));
				syscall(SYS_truncate, path, 0L);
			} else {
				syscall(SYS_sched_get_priority_max, done & 7);
			}
		}
	}
	return seconds() - began;
}

int main(int argc, char **argv)
{
	char line[64];
	long events;
	double rate;

	if (argc != 2)
		return 2;
	prctl(PR_SET_NAME, "bench-workload");
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "%ld %lf", &events, &rate) != 2)
			return 2;
		printf("%.6f\n", run(!strcmp(argv[1], "path"), events, rate));
		fflush(stdout);
	}
	return 0;
}
