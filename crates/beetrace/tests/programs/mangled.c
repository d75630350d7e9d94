/* Functions with the names that C++ and Rust compilers make. */
#define PROBED __attribute__((noinline, noclone, used))

volatile int sink;

PROBED int cxx_int(int n) __asm__("_ZN6garden3Bed4growEi");
PROBED int cxx_text(const char *s) __asm__("_ZN6garden3Bed4growEPKc");
PROBED int rust_v0(int n) __asm__("_RNvNtCs1234_6garden3bed5prune");

int cxx_int(int n) { return n + 1; }
int cxx_text(const char *s) { return s[0]; }
int rust_v0(int n) { return n + 3; }

int main(void) {
	/* A page that nobody has read yet is not there for a tracer either. */
	*(volatile const char *)"x";
	sink = cxx_int(5) + cxx_text("x") + rust_v0(7);
	return 0;
}
