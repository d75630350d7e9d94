/* Touches pages for the first time: `faults N` touches N of them. */
#include <stdlib.h>
#include <sys/mman.h>

int main(int argc, char **argv) {
	long count = argc > 1 ? atol(argv[1]) : 1;
	volatile char *at = mmap(0, count * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (long i = 0; i < count; i++)
		at[i * 4096] = 1;
	return 0;
}
