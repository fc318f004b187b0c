/*
 * Hands a pair of TCP connections over to `sockc socket pair NAME --listen PATH`, which joins them in the kernel.
 *
 *     int keeper = sockc_pairs_open("/run/pairs.sock");
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
 * The format of messages is described in docs/streams.md. This file may be copied into any program.
 */
#ifndef SOCKC_PAIRS_H
#define SOCKC_PAIRS_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

/* Connects; -1 and errno if nobody keeps pairs there. */
static inline int sockc_pairs_open(const char *path)
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
	union {
		char room[CMSG_SPACE(sizeof(both))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec parts[3] = {
		{ head, sizeof(head) }, { (void *)there, there_length }, { (void *)back, back_length },
	};
	struct msghdr message = {
		.msg_iov = parts, .msg_iovlen = 3, .msg_control = control.room, .msg_controllen = sizeof(control.room),
	};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
	ssize_t length;

	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof(both));
	memcpy(CMSG_DATA(rights), both, sizeof(both));
	do
		length = sendmsg(keeper, &message, MSG_NOSIGNAL);
	while (length < 0 && errno == EINTR);
	if (length < 0) {
		*why = strerror(errno);
		return SOCKC_PAIRS_REFUSED;
	}
	do
		length = recv(keeper, answer, sizeof(answer) - 1, 0);
	while (length < 0 && errno == EINTR);
	if (length <= 0) {
		*why = "nobody keeps the pairs any more, and nobody knows what was moved";
		return sockc_pairs_lost(client, upstream);
	}
	answer[length] = 0;
	*why = answer;
	return strcmp(answer, "ok") ? SOCKC_PAIRS_REFUSED : SOCKC_PAIRS_JOINED;
}

#endif
