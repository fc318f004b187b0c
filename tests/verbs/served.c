/*
 * A service that says who it is: a byte for each connection. Its socket is either made here and handed over by the header, or comes
 * from whoever started it.
 *
 *     served register PATH NAME BYTE     listens at 127.0.0.1 and at [::1], on ports that the kernel chooses
 *     served inherited NAME BYTE         as sd_listen_fds(3) says
 *
 * It says "ready" and then serves. When its standard input ends it takes what still waits, and ends.
 */
#include "sockc.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

/* So long nothing must come before it ends, in milliseconds. */
#define QUIET 200

static int listening(int family)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct sockaddr *address = family == AF_INET ? (struct sockaddr *)&four : (struct sockaddr *)&six;
	socklen_t length = family == AF_INET ? sizeof(four) : sizeof(six);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, address, length) || listen(fd, 4096)) {
		perror("listen");
		exit(2);
	}
	return fd;
}

static int is(const char *name, const char *value)
{
	const char *set = getenv(name);

	if (set && !strcmp(set, value))
		return 1;
	fprintf(stderr, "%s is %s, not %s\n", name, set ? set : "not set", value);
	return 0;
}

static void serve(int sockets[2], const char *byte)
{
	struct pollfd polled[3] = {
		{ .fd = 0, .events = POLLIN }, { .fd = sockets[0], .events = POLLIN }, { .fd = sockets[1], .events = POLLIN },
	};
	int i, ends = 0;

	puts("ready");
	fflush(stdout);
	while (poll(polled, 3, ends ? QUIET : -1) > 0) {
		if (polled[0].revents) {
			ends = 1;
			polled[0].fd = -1;
		}
		for (i = 1; i < 3; i++) {
			if (polled[i].revents) {
				int client = accept(polled[i].fd, NULL, NULL);

				if (write(client, byte, 1) != 1)
					perror("write");
				close(client);
			}
		}
	}
}

int main(int count, char **words)
{
	int sockets[2] = { 3, 4 };
	const char *why;

	if (count == 5 && !strcmp(words[1], "register")) {
		int desk = sockc_open(words[2]);

		sockets[0] = listening(AF_INET);
		sockets[1] = listening(AF_INET6);
		if (desk < 0) {
			perror(words[2]);
			return 1;
		}
		if (sockc_register(desk, words[3], sockets, 2, &why)) {
			fprintf(stderr, "%s\n", why);
			return 1;
		}
		close(desk);
	} else if (count == 4 && !strcmp(words[1], "inherited")) {
		char own[16], names[64];

		snprintf(own, sizeof(own), "%d", getpid());
		snprintf(names, sizeof(names), "%s:%s", words[2], words[2]);
		if (!is("LISTEN_FDS", "2") || !is("LISTEN_PID", own) || !is("LISTEN_FDNAMES", names))
			return 1;
	} else {
		return 2;
	}
	serve(sockets, words[count - 1]);
	return 0;
}
