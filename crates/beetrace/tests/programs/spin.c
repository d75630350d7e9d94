/* Burns processor time: `spin wait` says `ready` and spins until it is killed; `spin N` for N rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBED __attribute__((noinline, noclone, used))

volatile unsigned long sink;

PROBED void burn(void) {
	for (int i = 0; i < 1000; i++)
		sink += i;
}

int main(int argc, char **argv) {
	if (argc > 1 && !strcmp(argv[1], "wait")) {
		puts("ready");
		fflush(stdout);
		for (;;)
			burn();
	}
	for (long i = argc > 1 ? atol(argv[1]) : 1; i > 0; i--)
		burn();
	return 0;
}
