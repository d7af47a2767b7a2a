/*
 * The web server of the example image: says which container answered, and stops as a good server does.
 *
 *   GET /        hello from <host name>, version <VERSION>; you are <address>
 *   GET /health  200
 *   a datagram to the same port is answered with the first of these, so that UDP can be watched too
 *
 * On SIGTERM it goes on accepting for a moment (connections that were on their way when it was taken out of the load
 * balancer), answers every request that still comes with `Connection: close`, and ends when no connection is left.
 * WEB_FAIL=start makes it exit with 1 at once, WEB_FAIL=health makes /health answer 503: to watch updates fail.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 4096, REQUEST_MAX = 8192, ACCEPT_AFTER_TERM_MS = 500, IDLE_AFTER_TERM_MS = 3000 };

struct connection {
	char buffer[REQUEST_MAX];
	size_t length;
	char peer[INET6_ADDRSTRLEN];
	long long idle_since;
};

enum { LISTENER, DATAGRAMS, FIRST_CONNECTION };

static struct pollfd polls[CONNECTIONS_MAX + FIRST_CONNECTION];
static struct connection *connections[CONNECTIONS_MAX + FIRST_CONNECTION];
static int count = FIRST_CONNECTION;
static volatile sig_atomic_t stopping;
static char host[256];
static const char *version;
static int unhealthy;

static void on_signal(int number) { stopping = number; }

static long long now_ms(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

static void drop(int at)
{
	close(polls[at].fd);
	free(connections[at]);
	count--;
	polls[at] = polls[count];
	connections[at] = connections[count];
}

/* IPv4 clients come by the same sockets, as mapped addresses: told in their own words. */
static void name_peer(const struct sockaddr_in6 *from, char peer[INET6_ADDRSTRLEN])
{
	if (from->sin6_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)from)->sin_addr, peer, INET6_ADDRSTRLEN);
	else if (IN6_IS_ADDR_V4MAPPED(&from->sin6_addr))
		inet_ntop(AF_INET, &from->sin6_addr.s6_addr[12], peer, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, &from->sin6_addr, peer, INET6_ADDRSTRLEN);
}

static void accept_all(void)
{
	while (count < CONNECTIONS_MAX + FIRST_CONNECTION) {
		struct sockaddr_in6 from;
		socklen_t size = sizeof from;
		int fd = accept4(polls[LISTENER].fd, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		struct connection *connection = calloc(1, sizeof *connection);
		if (!connection) {
			close(fd);
			return;
		}
		name_peer(&from, connection->peer);
		connection->idle_since = now_ms();
		polls[count] = (struct pollfd){ .fd = fd, .events = POLLIN };
		connections[count++] = connection;
	}
}

static int greet(char *body, size_t size, const char *peer)
{
	return snprintf(body, size, "hello from %s, version %s; you are %s\n", host, version, peer);
}

static void answer_datagrams(void)
{
	char request[REQUEST_MAX], body[512], peer[INET6_ADDRSTRLEN];
	for (;;) {
		struct sockaddr_in6 from;
		socklen_t size = sizeof from;
		if (recvfrom(polls[DATAGRAMS].fd, request, sizeof request, 0, (struct sockaddr *)&from, &size) < 0)
			return;
		name_peer(&from, peer);
		int length = greet(body, sizeof body, peer);
		sendto(polls[DATAGRAMS].fd, body, (size_t)length, 0, (struct sockaddr *)&from, size);
	}
}

/* Returns 0 when the connection is to be closed after this answer. */
static int answer(int at, const char *request)
{
	struct connection *connection = connections[at];
	int health = strncmp(request, "GET /health", 11) == 0;
	int sick = health && unhealthy;
	int keep = !stopping && !strcasestr(request, "\nconnection: close") && !strstr(request, " HTTP/1.0\r");
	char body[512], reply[1024];
	int size = health ? snprintf(body, sizeof body, sick ? "sick\n" : "well\n")
			  : greet(body, sizeof body, connection->peer);
	int total = snprintf(reply, sizeof reply,
			     "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n%s",
			     sick ? "503 Service Unavailable" : "200 OK", size, keep ? "keep-alive" : "close", body);
	/* Smaller than any socket buffer that is not full of unread answers. */
	return send(polls[at].fd, reply, (size_t)total, MSG_NOSIGNAL) == total && keep;
}

/* Returns 0 when the connection is over. */
static int serve(int at)
{
	struct connection *connection = connections[at];
	ssize_t got = recv(polls[at].fd, connection->buffer + connection->length, REQUEST_MAX - 1 - connection->length, 0);
	if (got <= 0)
		return got < 0 && (errno == EAGAIN || errno == EINTR);
	connection->length += (size_t)got;
	connection->buffer[connection->length] = 0;
	connection->idle_since = now_ms();
	for (;;) {
		char *end = strstr(connection->buffer, "\r\n\r\n");
		if (!end)
			return connection->length < REQUEST_MAX - 1;
		end[2] = 0;
		if (!answer(at, connection->buffer)) {
			shutdown(polls[at].fd, SHUT_WR);
			return 0;
		}
		size_t used = (size_t)(end + 4 - connection->buffer);
		memmove(connection->buffer, end + 4, connection->length - used + 1);
		connection->length -= used;
	}
}

/* For both families, or for IPv4 where the kernel has nothing else. */
static int listener(int type, int port)
{
	struct sockaddr_in6 both = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	struct sockaddr_in one = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr *address = (struct sockaddr *)&both;
	socklen_t size = sizeof both;
	int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), yes = 1, no = 0;
	if (fd < 0) {
		address = (struct sockaddr *)&one;
		size = sizeof one;
		fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	}
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (fd < 0 || bind(fd, address, size) < 0 ||
	    (type == SOCK_STREAM && listen(fd, 1024) < 0)) {
		perror("web: cannot listen");
		exit(1);
	}
	return fd;
}

static const char *setting(const char *name, const char *fallback)
{
	const char *value = getenv(name);
	return value && *value ? value : fallback;
}

int main(int argc, char **argv)
{
	int port = argc > 1 ? atoi(argv[1]) : 80;
	long long stop_at = 0;
	version = setting("VERSION", "1");
	unhealthy = strcmp(setting("WEB_FAIL", ""), "health") == 0;
	if (strcmp(setting("WEB_FAIL", ""), "start") == 0) {
		fprintf(stderr, "web: WEB_FAIL=start asks for a failure\n");
		return 1;
	}
	gethostname(host, sizeof host - 1);
	struct sigaction action = { .sa_handler = on_signal };
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	/* Whoever finds the one open finds the other. */
	polls[DATAGRAMS] = (struct pollfd){ .fd = listener(SOCK_DGRAM, port), .events = POLLIN };
	polls[LISTENER] = (struct pollfd){ .fd = listener(SOCK_STREAM, port), .events = POLLIN };
	printf("web: %s version %s listens on port %d\n", host, version, port);
	fflush(stdout);
	for (;;) {
		long long now = now_ms();
		if (stopping && stop_at == 0)
			stop_at = now;
		if (stop_at != 0 && now - stop_at > ACCEPT_AFTER_TERM_MS && polls[LISTENER].fd >= 0) {
			accept_all(); /* who is waiting already would be reset */
			close(polls[LISTENER].fd);
			polls[LISTENER].fd = -1;
		}
		if (polls[LISTENER].fd < 0 && count == FIRST_CONNECTION) {
			answer_datagrams(); /* who has asked already would wait in vain */
			break;
		}
		if (poll(polls, (nfds_t)count, stop_at ? 50 : -1) < 0 && errno != EINTR)
			return 1;
		for (int at = count - 1; at >= FIRST_CONNECTION; at--) {
			int over = polls[at].revents != 0 && !serve(at);
			int idle = stop_at != 0 && now_ms() - connections[at]->idle_since > IDLE_AFTER_TERM_MS;
			if (over || idle)
				drop(at);
		}
		if (polls[DATAGRAMS].revents)
			answer_datagrams();
		if (polls[LISTENER].fd >= 0 && polls[LISTENER].revents)
			accept_all();
	}
	printf("web: %s stopped\n", host);
	return 0;
}
