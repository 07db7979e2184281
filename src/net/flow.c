/* Requests whose bytes do not get through.
 *
 * libcurl knows what it gave to the kernel, which takes hundreds of KiB at once and then tries for
 * a quarter of an hour. So each second the kernel is asked what the other side has acknowledged:
 * the time limit runs while nothing moves, a slow line may take as long as it needs, and a
 * connection that is dead is given up while there is time for another one. */
#include <linux/sockios.h>
#include <linux/tcp.h> /* the C library's ends before the bytes acknowledged */
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "net/call_priv.h"
#include "net/sock_priv.h"

enum {
    LOOK_MS = 1000,
    DEAD_MS = 6000, /* nothing was acknowledged for so long, ... */
    DEAD_LOSSES = 3, /* ... and so many retransmissions in a row got no answer */
    SMALL_MS = 3600000
};

struct flow {
    size_t waiting; /* bytes in the kernel that the peer has not acknowledged */
    uint64_t acked; /* bytes that it has, since the connection stands */
    unsigned losses; /* retransmissions or probes in a row without an answer */
    unsigned segment; /* largest that is sent */
    bool homeless; /* the connection's own address is no longer one of this host */
};

static void ask_kernel(int fd, struct flow *out)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    int waiting = 0;
    *out = (struct flow){.waiting = 0};
    if (fd == CURL_SOCKET_BAD)
        return;
    if (ioctl(fd, SIOCOUTQ, &waiting) == 0 && waiting > 0)
        out->waiting = (size_t)waiting;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0) {
        /* Not tcpi_backoff: it grows too while a peer that reads nothing answers each probe. */
        out->losses =
            info.tcpi_retransmits > info.tcpi_probes ? info.tcpi_retransmits : info.tcpi_probes;
        out->acked = info.tcpi_bytes_acked;
        out->segment = info.tcpi_snd_mss;
    }
    out->homeless = fm_net_is_homeless(fd);
}

static unsigned look_ms(const struct fm_call *call)
{
    return call->slow_ms < LOOK_MS ? call->slow_ms : LOOK_MS;
}

static bool waits_for_answer(const struct fm_call *call)
{
    return call->ready && call->head_bytes == 0;
}

/* What has become of it since the last look. The first one only takes the measure. */
static void look(struct fm_call *call, int64_t now)
{
    struct flow flow;
    bool first = call->looked_ms == 0;
    ask_kernel(call->fd, &flow);
    bool over = flow.waiting == 0 && fm_net_on_wire(call) >= call->body_len;
    if (first)
        call->acked = call->window_acked = flow.acked;
    if ((over && !call->uploaded) || flow.acked != call->acked)
        call->moved_ms = now;
    call->acked = flow.acked;
    if (!over && flow.acked - call->window_acked >= FM_NET_SLOW_BYTES) {
        call->window_ms = now;
        call->window_acked = flow.acked;
        call->deadline_ms = now + call->target.total_ms;
    } else if (over && !first && !call->uploaded && call->body_len > 0) {
        call->deadline_ms = now + call->target.total_ms; /* it took longer than a look */
    }
    call->uploaded = over;
    call->lost = flow.losses > 0;
    call->segment = flow.segment;
    call->looked_ms = now;
    call->slow = !over && now - call->window_ms >= (int64_t)call->slow_ms;
    call->dead =
        flow.homeless || (!over && flow.losses >= DEAD_LOSSES && now - call->moved_ms >= DEAD_MS);
}

/* @return whether the call must end, with *result */
static bool is_over(struct fm_call *call, int64_t now, CURLcode *result)
{
    *result = CURLE_ABORTED_BY_CALLBACK;
    int64_t last = call->looked_ms != 0 ? call->looked_ms : call->window_ms;
    if (waits_for_answer(call) && now - last >= (int64_t)look_ms(call))
        look(call, now);
    if (call->slow || call->dead)
        return true;
    *result = CURLE_OPERATION_TIMEDOUT;
    return now >= call->deadline_ms;
}

unsigned fm_net_calls_check(struct fm_client *client)
{
    unsigned n = 0;
    int64_t now = fm_clock_ms();
    for (struct fm_call *call = client->calls; call != NULL;) {
        CURLcode result;
        fm_net_call_let_go(call);
        if (!is_over(call, now, &result)) {
            call = call->next;
            continue;
        }
        fm_net_call_done(call, result);
        n++;
        call = client->calls; /* the callback may have changed the list */
    }
    return n;
}

int fm_net_calls_wait(const struct fm_client *client, int timeout_ms)
{
    int64_t now = fm_clock_ms();
    for (const struct fm_call *call = client->calls; call != NULL; call = call->next) {
        int64_t at = call->deadline_ms;
        if (waits_for_answer(call)) {
            int64_t last = call->looked_ms != 0 ? call->looked_ms : call->window_ms;
            at = last + look_ms(call) < at ? last + look_ms(call) : at;
        }
        if (at - now < timeout_ms)
            timeout_ms = at > now ? (int)(at - now) : 1;
    }
    return timeout_ms;
}

int64_t fm_call_quiet_since(const struct fm_call *call)
{
    int64_t start = call->started_ns / 1000000;
    return call->looked_ms != 0 && call->moved_ms > start ? call->moved_ms : start;
}

void fm_net_flow_ended(struct fm_call *call, const struct fm_http_answer *answer)
{
    struct fm_client *client = call->client;
    bool handshake = answer->failure == FM_HTTP_TLS_FAILED && answer->err.code == FM_ETIMEOUT;
    bool upload = answer->failure == FM_HTTP_SLOW_UPLOAD && call->lost;
    if (!upload && !handshake)
        return;
    /* Perhaps large packets vanish on the way, and with them the word about it. A peer that is
     * silent in its handshake may just hang: that must not make others much slower. Several
     * requests that end together have met one hole, with segments as large as they were before. */
    const uint64_t peer = fm_net_peer_of(&call->target);
    int segment = fm_net_segment(client, peer);
    if (segment == 0)
        segment = FM_NET_SMALL_SEGMENT;
    else if (upload && call->segment <= FM_NET_SMALL_SEGMENT)
        segment = FM_NET_TINY_SEGMENT;
    fm_net_set_segment(client, peer, segment, SMALL_MS);
}
