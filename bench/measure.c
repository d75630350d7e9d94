/* Runs a command and prints its wall time (ns), peak resident memory (kB), CPU time (us) and exit status.
 *
 * usage: measure REPORT COMMAND [ARGUMENT...]
 * The parent is this small because the kernel counts what a process had resident before execve
 * into its peak: started from an interpreter, every command would seem to need the interpreter's memory.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec from, to;
	struct rusage use;
	int status;
	if (argc < 3)
		return 2;
	clock_gettime(CLOCK_MONOTONIC, &from);
	pid_t child = fork();
	if (child == 0) {
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	if (child < 0 || wait4(child, &status, 0, &use) != child)
		return 1;
	clock_gettime(CLOCK_MONOTONIC, &to);
	FILE *report = fopen(argv[1], "w");
	if (!report)
		return 1;
	fprintf(report, "%lld %ld %lld %d\n",
		(to.tv_sec - from.tv_sec) * 1000000000LL + (to.tv_nsec - from.tv_nsec),
		use.ru_maxrss,
		(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000LL + use.ru_utime.tv_usec + use.ru_stime.tv_usec,
		WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return fclose(report) != 0;
}
