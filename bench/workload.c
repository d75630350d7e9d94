/* The event source of the benchmark: calls one rare system call a fixed number of times.
 *
 * usage: workload policy|path EVENTS RATE
 *   policy  sched_get_priority_max(0..7): no effect, no string
 *   path    truncate("/nonexistent/bench/0".."7"): fails at once, carries a string
 *   RATE    events a second, given out in steps of a tenth of a millisecond; 0: as fast as it can
 * Prints the seconds that the events took.
 */
#include <stdio.h>
#include <stdlib.h>
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

int main(int argc, char **argv)
{
	static char path[] = "/nonexistent/bench/0";
	if (argc != 4)
		return 2;
	int use_path = !strcmp(argv[1], "path");
	long events = atol(argv[2]);
	double rate = atof(argv[3]);
	prctl(PR_SET_NAME, "bench-workload");

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
	printf("%.6f\n", seconds() - began);
	return 0;
}
