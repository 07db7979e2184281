/* An HTTP sink in a child process: takes any POST, accepts as many records as the body has. */
#ifndef FM_BENCH_SINK_H
#define FM_BENCH_SINK_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

struct sink {
    pid_t pid;
    unsigned port;
};

enum { SINK_MAX = 4 << 20 };

static inline void sink_answer(int fd, size_t records, char *out)
{
    static const char entry[] =
        "{\"partition\":0,\"offset\":123456,\"error_code\":null,\"error\":null}";
    size_t len = 12 + records * sizeof entry + 1;
    size_t at = (size_t)sprintf(out,
                                "HTTP/1.1 200 OK\r\nContent-Type: application/"
                                "vnd.kafka.v2+json\r\nContent-Length: %zu\r\n\r\n{\"offsets\":[",
                                len);
    for (size_t i = 0; i < records; i++) {
        if (i > 0)
            out[at++] = ',';
        memcpy(out + at, entry, sizeof entry - 1);
        at += sizeof entry - 1;
    }
    memcpy(out + at, "]}", 2);
    at += 2;
    for (size_t sent = 0; sent < at;) {
        ssize_t n = write(fd, out + sent, at - sent);
        if (n <= 0)
            return;
        sent += (size_t)n;
    }
}

static inline void sink_serve(int fd, char *in, char *out)
{
    size_t have = 0;
    for (;;) {
        ssize_t n = read(fd, in + have, SINK_MAX - have - 1);
        if (n <= 0)
            return;
        have += (size_t)n;
        in[have] = '\0';
        char *end = strstr(in, "\r\n\r\n");
        const char *length = strstr(in, "Content-Length: ");
        if (end == NULL)
            continue;
        size_t body = length != NULL && length < end ? strtoul(length + 16, NULL, 10) : 0;
        size_t whole = (size_t)(end + 4 - in) + body, records = 0;
        if (have < whole)
            continue;
        const char *stop = in + whole;
        for (const char *p = end; (p = memmem(p, (size_t)(stop - p), "\"value\":", 8)) != NULL;
             p += 8)
            records++;
        if (in[0] == 'P')
            sink_answer(fd, records, out);
        else if (write(fd,
                       "HTTP/1.1 200 OK\r\nContent-Length: 54\r\n\r\n"
                       "{\"name\":\"t\",\"configs\":{\"max.message.bytes\":\"1048588\"}}",
                       93) < 0)
            return;
        have = 0;
    }
}

static inline void sink_start(struct sink *sink)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr) != 0 || listen(fd, 8) != 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) != 0)
        exit(1);
    sink->port = ntohs(addr.sin_port);
    sink->pid = fork();
    if (sink->pid != 0) {
        close(fd);
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    char *in = malloc(SINK_MAX), *out = malloc(SINK_MAX);
    for (;;) {
        int conn = accept(fd, NULL, NULL);
        setsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        sink_serve(conn, in, out);
        close(conn);
    }
}

static inline void sink_stop(struct sink *sink)
{
    kill(sink->pid, SIGKILL);
    waitpid(sink->pid, NULL, 0);
}

#endif
