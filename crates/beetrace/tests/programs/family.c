/* cc: -pthread */
/* A process with named threads and children. `family fork N` makes N children, one after the other, each of which
 * calls `child_work` and ends with its number; `family threads N` the same with threads. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROBED __attribute__((noinline, noclone, used))

volatile int sink;

PROBED void child_work(int number) { sink += number; }
PROBED void parent_work(int number) { sink += number; }

static void *thread(void *argument) {
	char name[16];
	int number = (int)(long)argument;
	snprintf(name, sizeof name, "thread-%d", number % 100);
	prctl(PR_SET_NAME, name);
	child_work(number);
	return 0;
}

int main(int argc, char **argv) {
	if (argc != 3)
		return 99;
	int count = atoi(argv[2]);
	for (int i = 1; i <= count; i++) {
		if (!strcmp(argv[1], "threads")) {
			pthread_t id;
			pthread_create(&id, 0, thread, (void *)(long)i);
			pthread_join(id, 0);
		} else {
			pid_t pid = fork();
			if (pid == 0) {
				char name[16];
				snprintf(name, sizeof name, "child-%d", i % 100);
				prctl(PR_SET_NAME, name);
				child_work(i);
				_exit(i % 100);
			}
			waitpid(pid, 0, 0);
		}
		parent_work(i);
	}
	return 0;
}
