/* Static probes in the form of SystemTap's notes, written by hand so that no header is needed. `usdt` fires each once;
 * `usdt wait` says `ready` and fires them for each line that it reads. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PROBE(provider, name, semaphore, arguments, ...)                                      \
	__asm__ volatile("990: nop\n"                                                         \
			 ".pushsection .note.stapsdt,\"?\",\"note\"\n"                         \
			 ".balign 4\n"                                                        \
			 ".4byte 992f-991f, 994f-993f, 3\n"                                   \
			 "991: .asciz \"stapsdt\"\n"                                          \
			 "992: .balign 4\n"                                                   \
			 "993: .8byte 990b, _.stapsdt.base, " semaphore "\n"                  \
			 ".asciz \"" provider "\"\n"                                          \
			 ".asciz \"" name "\"\n"                                              \
			 ".asciz \"" arguments "\"\n"                                         \
			 "994: .balign 4\n"                                                   \
			 ".popsection\n"                                                      \
			 ".ifndef _.stapsdt.base\n"                                           \
			 ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n" \
			 ".weak _.stapsdt.base\n"                                             \
			 ".hidden _.stapsdt.base\n"                                           \
			 "_.stapsdt.base: .space 1\n"                                         \
			 ".size _.stapsdt.base, 1\n"                                          \
			 ".popsection\n"                                                      \
			 ".endif\n" ::__VA_ARGS__)

/* What a tracer counts up while it listens. */
__attribute__((section(".probes"), used)) unsigned short hives_guarded_semaphore;

static const char *const who = "worker";

__attribute__((noinline)) static void fire(int round) {
	/* A page that nobody has read yet is not there for a tracer either. */
	*(volatile const char *)who;
	uint8_t small = 200;
	int8_t negative = -3;
	uint64_t large = 0xfedcba9876543210;
	int32_t slots[4] = {11, 22, 33, 44};
	PROBE("hives", "plain", "0", "");
	PROBE("hives", "numbers", "0", "1@%0 -1@%1 8@%2 -4@%3", "r"(small), "r"(negative), "r"(large), "r"(round));
	PROBE("hives", "text", "0", "8@%0 -4@%1", "r"(who), "n"(-42));
	PROBE("hives", "memory", "0", "-4@8(%0) -4@(%0)", "r"(slots));
	PROBE("hives", "indexed", "0", "-4@(%0,%1,4) -4@4(%0,%1,4)", "r"(slots), "r"((uint64_t)2));
	PROBE("meadows", "plain", "0", "-4@%0", "r"(round));
	if (hives_guarded_semaphore > 0)
		PROBE("hives", "guarded", "hives_guarded_semaphore", "-4@%0", "r"(round + 1000));
}

int main(int argc, char **argv) {
	if (argc > 1 && !strcmp(argv[1], "wait")) {
		char line[16];
		puts("ready");
		fflush(stdout);
		for (int round = 1; fgets(line, sizeof line, stdin); round++) {
			fire(round);
			puts("done");
			fflush(stdout);
		}
		return 0;
	}
	fire(1);
	return 0;
}
