/* cc: -no-pie */
/* Writes and reads at a fixed address, 0x10000000, mapped once the program runs. It is loaded at a fixed address, too. */
#include <stdint.h>
#include <sys/mman.h>

uint32_t fixed_number = 815;

#define PROBED __attribute__((noinline, noclone, used))

PROBED static void put(volatile uint64_t *at, uint64_t value) { *at = value; }
PROBED static uint64_t get(volatile uint64_t *at) { return *at; }

int main(void) {
	volatile uint64_t *at = mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE,
				     MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		return 99;
	for (uint64_t i = 1; i <= 3; i++)
		put(at, i * 10);
	return get(at) != 30;
}
