/*
 * Hands sockets over to sockc. This file may be copied into any program.
 *
 * A socket that listens, or a UDP socket that is bound, to `sockc socket listen PATH`, which puts it behind a name of the policy:
 *
 *     int desk = sockc_open("/run/sockets.sock");
 *     const char *why;
 *     if (sockc_register(desk, "resolver", &server, 1, &why))
 *             fprintf(stderr, "resolver: %s\n", why);
 *     close(desk);              // the socket stays behind the name until the last process that has it closes it
 *
 * The format of messages is described in docs/declarations.md.
 *
 * A pair of TCP connections to `sockc socket pair NAME --listen PATH`, which joins them in the kernel:
 *
 *     int keeper = sockc_open("/run/pairs.sock");
 *     const char *why;
 *     switch (sockc_pairs_join(keeper, client, upstream, read, length, NULL, 0, &why)) {
 *     case SOCKC_PAIRS_JOINED:  // the kernel moves the data from now on
 *     case SOCKC_PAIRS_LOST:    // whoever keeps the pairs ended in the middle of it: closing resets both
 *             close(client); close(upstream); break;
 *     case SOCKC_PAIRS_REFUSED: // `why` says it in words; nothing was touched: copy by hand, as before
 *     }
 *
 * What the proxy has read from a side and not passed on goes with the pair, and is sent first; both together have at most
 * 128 KiB. The sides stay as they are, blocking or not. One connection to PATH serves for many pairs, of one thread at a time.
 * The format of messages is described in docs/streams.md.
 */
#ifndef SOCKC_H
#define SOCKC_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

/* So many descriptors go with a message. */
#define SOCKC_MOST 4

/* Connects; -1 and errno if nobody listens there. */
static inline int sockc_open(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd, error;

	if (strlen(path) >= sizeof(to.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(to.sun_path, path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to))) {
		error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

/*
 * Sends a message with descriptors and waits for the answer, which ends with a zero byte; its length. 0 if nothing was sent, and errno;
 * -1 if no answer came.
 */
static inline ssize_t sockc_ask(int fd, struct iovec *parts, size_t count, const int *sockets, unsigned int number, char *answer,
				size_t room)
{
	union {
		char room[CMSG_SPACE(SOCKC_MOST * sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct msghdr message = {
		.msg_iov = parts, .msg_iovlen = count, .msg_control = control.room,
		.msg_controllen = CMSG_SPACE(number * sizeof(int)),
	};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
	ssize_t length;

	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(number * sizeof(int));
	memcpy(CMSG_DATA(rights), sockets, number * sizeof(int));
	do
		length = sendmsg(fd, &message, MSG_NOSIGNAL);
	while (length < 0 && errno == EINTR);
	if (length < 0)
		return 0;
	do
		length = recv(fd, answer, room - 1, 0);
	while (length < 0 && errno == EINTR);
	if (length <= 0)
		return -1;
	answer[length] = 0;
	return length;
}

/*
 * Puts up to four sockets behind a name, each of another kind of TCP and UDP, IPv4 and IPv6. 0 if they stand there; else -1, and `*why`
 * says why not, in words that stay until the next call of this thread. To ask again does no harm.
 */
static inline int sockc_register(int desk, const char *name, const int *sockets, unsigned int number, const char **why)
{
	static __thread char answer[1024];
	uint32_t head[2] = { 2, 0 };
	struct iovec parts[2] = { { head, sizeof(head) }, { (void *)name, strlen(name) } };
	ssize_t length;

	*why = answer;
	if (!number || number > SOCKC_MOST) {
		*why = "one to four sockets stand behind a name";
		return -1;
	}
	length = sockc_ask(desk, parts, 2, sockets, number, answer, sizeof(answer));
	if (!length)
		*why = strerror(errno);
	else if (length < 0)
		*why = "no answer came; the socket may stand behind the name";
	return length > 0 && !strncmp(answer, "ok ", 3) ? 0 : -1;
}

enum sockc_pairs { SOCKC_PAIRS_JOINED, SOCKC_PAIRS_REFUSED, SOCKC_PAIRS_LOST };

/* Nobody can tell what was moved of these: closing them resets both connections, and nobody takes that for the end of the data. */
static inline enum sockc_pairs sockc_pairs_lost(int client, int upstream)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	setsockopt(upstream, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	return SOCKC_PAIRS_LOST;
}

/*
 * Hands both over; `there` has been read from the client and goes to the upstream first, `back` from the upstream. Unless
 * they are joined `*why` says why not, in words that stay until the next call of this thread.
 */
static inline enum sockc_pairs sockc_pairs_join(int keeper, int client, int upstream, const void *there,
						uint32_t there_length, const void *back, uint32_t back_length,
						const char **why)
{
	static __thread char answer[1024];
	uint32_t head[4] = { 1, there_length, back_length, 0 };
	int both[2] = { client, upstream };
	struct iovec parts[3] = {
		{ head, sizeof(head) }, { (void *)there, there_length }, { (void *)back, back_length },
	};
	ssize_t length = sockc_ask(keeper, parts, 3, both, 2, answer, sizeof(answer));

	*why = answer;
	if (!length) {
		*why = strerror(errno);
		return SOCKC_PAIRS_REFUSED;
	}
	if (length < 0) {
		*why = "nobody keeps the pairs any more, and nobody knows what was moved";
		return sockc_pairs_lost(client, upstream);
	}
	return strcmp(answer, "ok") ? SOCKC_PAIRS_REFUSED : SOCKC_PAIRS_JOINED;
}

#endif
