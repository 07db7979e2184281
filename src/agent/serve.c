/* The main thread's loop: signals, the control socket, secrets, documents. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/agent_priv.h"
#include "agent/signals.h"
#include "base/clock.h"
#include "base/trim.h"

enum {
    PUBLISH_MS = 1000, /* documents are rendered at most so often */
    QUIET_MS = 10000, /* and at least so often, while nothing is under way */
    QUIET_AFTER = 2, /* renderings that showed nothing: one may have seen only half of the end */
    SETTLED_MS = 5000, /* after that the start has left nothing behind that is still in use */
    STEADY_MS = 25000, /* and then the first polls and the first TLS handshakes */
    SECRETS_MS = 10000 /* secret files are looked at so often */
};

enum fm_code fm_agent_listen(struct fm_agent *agent, struct fm_err *err)
{
    agent->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return agent->news_fd >= 0 ? FM_OK : fm_err_sys(err, errno, "cannot make an event descriptor");
}

void fm_agent_news(struct fm_agent *agent)
{
    const uint64_t one = 1;
    if (agent->news_fd >= 0 && !atomic_exchange(&agent->news, true))
        (void)!write(agent->news_fd, &one, sizeof one); /* cannot be full */
}

/* @return false when the agent is to stop */
static bool handle_signal(struct fm_agent *agent)
{
    for (int sig = fm_signals_next(agent->signal_fd); sig != 0;
         sig = fm_signals_next(agent->signal_fd)) {
        if (sig != SIGHUP) {
            fm_log(agent->log, FM_LOG_INFO,
                   "%s: stopping; what waits is sent as long as that goes, %d s at most",
                   sig == SIGTERM ? "SIGTERM" : "SIGINT", FM_AGENT_GRACE_MS / 1000);
            return false;
        }
        fm_notify_send(&agent->notify, "RELOADING=1");
        fm_agent_reload(agent);
        fm_notify_send(&agent->notify, "READY=1");
        fm_agent_news(agent);
    }
    return true;
}

struct dues { /* monotonic times */
    int64_t publish, secrets, trim, settled;
};

static void do_due(struct fm_agent *agent, struct dues *due, int64_t now)
{
    fm_notify_alive(&agent->notify);
    if (now >= due->publish) {
        atomic_store(&agent->news, false); /* before: what comes meanwhile is shown the next time */
        fm_agent_publish(agent);
        due->publish = now + (agent->quiet >= QUIET_AFTER ? QUIET_MS : PUBLISH_MS);
    }
    if (now >= due->trim) {
        fm_trim();
        due->trim = due->trim == due->settled ? due->settled + STEADY_MS : INT64_MAX;
    }
    if (now >= due->secrets) {
        fm_agent_refresh_secrets(agent);
        due->secrets = now + SECRETS_MS;
    }
}

static int wait_ms(const struct fm_agent *agent, const struct dues *due)
{
    const int64_t now = fm_clock_ms(),
                  times[] = {due->secrets, due->trim, fm_notify_due(&agent->notify)};
    int64_t first = due->publish;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        first = times[i] < first ? times[i] : first;
    return first > now ? (int)(first - now) : 0;
}

void fm_agent_serve(struct fm_agent *agent)
{
    const int64_t start = fm_clock_ms();
    struct dues due = {.publish = start,
                       .secrets = start + SECRETS_MS,
                       .trim = start + SETTLED_MS,
                       .settled = start + SETTLED_MS};
    for (;;) {
        do_due(agent, &due, fm_clock_ms());
        struct pollfd fds[] = {
            {.fd = agent->signal_fd, .events = POLLIN},
            {.fd = fm_control_fd(agent->control), .events = POLLIN},
            {.fd = agent->news_fd, .events = POLLIN},
        };
        if (poll(fds, 3, wait_ms(agent, &due)) < 0)
            continue;
        if ((fds[0].revents & POLLIN) != 0 && !handle_signal(agent))
            return;
        if ((fds[1].revents & POLLIN) != 0) {
            fm_control_serve(agent->control);
            fm_agent_news(agent);
        }
        if ((fds[2].revents & POLLIN) != 0) {
            uint64_t times;
            (void)!read(agent->news_fd, &times, sizeof times);
            const int64_t soon = fm_clock_ms() + PUBLISH_MS;
            due.publish = soon < due.publish ? soon : due.publish;
            agent->quiet = 0;
        }
    }
}
