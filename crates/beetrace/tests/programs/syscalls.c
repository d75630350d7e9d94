/* Makes the system calls that it is told to: `syscalls open PATH`, `getpid N`, `kill N` (to itself), `exit N`, ... */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
	for (int i = 1; i + 1 < argc; i += 2) {
		const char *what = argv[i], *how = argv[i + 1];
		int number = atoi(how);
		if (!strcmp(what, "open")) {
			syscall(SYS_openat, AT_FDCWD, how, O_RDONLY, 0);
		} else if (!strcmp(what, "create")) {
			close(syscall(SYS_openat, AT_FDCWD, how, O_WRONLY | O_CREAT | O_TRUNC, 0640));
		} else if (!strcmp(what, "write")) {
			int fd = open("/dev/null", O_WRONLY);
			syscall(SYS_write, fd, how, strlen(how));
			close(fd);
		} else if (!strcmp(what, "getpid")) {
			while (number-- > 0)
				syscall(SYS_getpid);
		} else if (!strcmp(what, "kill")) {
			signal(number, SIG_IGN);
			kill(getpid(), number);
		} else if (!strcmp(what, "die")) {
			kill(getpid(), number);
		} else if (!strcmp(what, "lseek")) {
			syscall(SYS_lseek, -1, (long)number, SEEK_CUR);
		} else if (!strcmp(what, "exec")) {
			execl(how, how, "first", "second", (char *)0);
		} else if (!strcmp(what, "exit")) {
			exit(number);
		} else {
			return 99;
		}
	}
	return 0;
}
