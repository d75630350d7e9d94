/* A chain of calls with frame pointers; `stacks` goes down once, `stacks N` goes down N times. With `stacks wait` it
 * says `ready` first and goes down once for each line that it reads; with `stacks once` it ends after the first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBED __attribute__((noinline, noclone, used))

volatile int sink;

PROBED void bottom(int depth) { sink += depth; }
PROBED void middle(int depth) { bottom(depth + 1); sink++; }
PROBED void top(int depth) { middle(depth + 1); sink++; }
PROBED void recursive(int left) {
	if (left > 0)
		recursive(left - 1);
	else
		bottom(0);
	sink++;
}

int main(int argc, char **argv) {
	if (argc > 1 && (!strcmp(argv[1], "wait") || !strcmp(argv[1], "once"))) {
		char line[16];
		puts("ready");
		fflush(stdout);
		while (fgets(line, sizeof line, stdin)) {
			top(0);
			puts("done");
			fflush(stdout);
			if (!strcmp(argv[1], "once"))
				break;
		}
		return 0;
	}
	if (argc > 2 && !strcmp(argv[1], "deep")) {
		recursive(atoi(argv[2]));
		return 0;
	}
	for (int i = argc > 1 ? atoi(argv[1]) : 1; i > 0; i--)
		top(0);
	return 0;
}
