/* Functions with arguments of every kind. `args NAME` calls one of them, `args` all in the order of the table. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PROBED __attribute__((noinline, noclone, used))

struct inner {
	int32_t a;
	int16_t b[3];
};

union number {
	uint64_t whole;
	uint8_t bytes[8];
};

struct outer {
	uint8_t tag;
	struct inner in;
	struct inner *ptr;
	union number num;
	char name[12];
	const char *text;
	uint32_t low : 3;
	uint32_t mid : 7;
	int32_t high : 5;
	uint64_t wide : 40;
	struct inner list[2];
	int8_t grid[2][3];
	struct outer *next;
};

PROBED uint64_t unsigneds(uint8_t a, uint16_t b, uint32_t c, uint64_t d) { return a + b + c + d; }
PROBED int64_t signeds(int8_t a, int16_t b, int32_t c, int64_t d) { return a + b + c + d; }
PROBED int eight(int a, int b, int c, int d, int e, int f, int g, int h) { return a + b + c + d + e + f + g + h; }
PROBED const char *strings(const char *a, const char *b) { return a ? a : b; }
PROBED int structs(struct outer *o) { return o->tag; }
PROBED int array(int *values, int count) { return values[count - 1]; }
PROBED int bytes(const uint8_t *data, int length) { return data[length - 1]; }
PROBED int pointers(int **p, void *none) { return **p + (none != 0); }
PROBED int argv_like(char **words) { return words[0] != 0; }
PROBED int negative(void) { return -7; }
PROBED uint8_t byte(void) { return 200; }
PROBED int boolean(_Bool yes, _Bool no) { return yes - no; }

uint32_t global_number = 4711;
uint8_t global_byte = 42;
const char *global_text = "a text of the program";

static struct inner pointee = {-5, {10, 20, 30}};
static struct outer second = {.tag = 2, .name = "second", .text = "the second"};
static struct outer first = {
	.tag = 1,
	.in = {100, {1, -2, 3}},
	.ptr = &pointee,
	.num = {.whole = 0x0102030405060708},
	.name = "first",
	.text = "the first",
	.low = 5,
	.mid = 100,
	.high = -3,
	.wide = 0xabcdef0123,
	.list = {{7, {70, 71, 72}}, {8, {80, 81, 82}}},
	.grid = {{1, 2, 3}, {-4, -5, -6}},
	.next = &second,
};
static int values[] = {3, 1, 4, 1, 5};
static const uint8_t data[] = {0x00, 'a', '\n', 0xff, 'z'};
static int number = 77;
static int *pointer = &number;
static char *words[] = {"one", "two", "three", 0};

/* A program's page that nobody has read yet is not there for a tracer either. */
static void touch(const char *text) {
	for (volatile const char *at = text; *at; at++)
		;
}

static void call(const char *name) {
#define CALL(f, ...) \
	if (!name || !strcmp(name, #f)) f(__VA_ARGS__)
	CALL(unsigneds, 200, 60000, 4000000000u, 18000000000000000000ull);
	CALL(signeds, -100, -30000, -2000000000, -9000000000000000000ll);
	CALL(eight, 1, 2, 3, 4, 5, 6, 7, 8);
	CALL(strings, "hello", "a string of more than sixty-four bytes, so that a reader with a small buffer must cut it");
	CALL(structs, &first);
	CALL(array, values, 5);
	CALL(bytes, data, 5);
	CALL(pointers, &pointer, 0);
	CALL(argv_like, words);
	CALL(negative);
	CALL(byte);
	CALL(boolean, 1, 0);
}

int main(int argc, char **argv) {
	touch("hello");
	touch(global_text);
	for (int i = 0; words[i]; i++)
		touch(words[i]);
	if (argc < 2)
		call(0);
	for (int i = 1; i < argc; i++)
		call(argv[i]);
	return 0;
}
