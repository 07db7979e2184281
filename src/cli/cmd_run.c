/* cli/cmd_run.c - `run` and `once`: the agent, started from the command line. */
#include <limits.h>

#include "agent/agent.h"
#include "cli/cmd.h"
#include "config/config.h"

struct once_opts {
    bool to_stdout;
    int64_t timeout_ms;
};

/* -v and -q win over [log] level; without them the configuration decides. */
static struct fm_agent_opts agent_opts(const struct fm_cli *cli)
{
    bool said = cli->global.verbose + cli->global.quiet > 0;
    return (struct fm_agent_opts){
        .config_path = fm_config_find(cli->global.config),
        .overrides = cli->global.overrides.items,
        .n_overrides = cli->global.overrides.n,
        .log_level = said ? (int)fm_cmd_level(cli, FM_LOG_INFO) : -1,
    };
}

static enum fm_code run_run(struct fm_cmd_call *call, struct fm_err *err)
{
    const struct fm_agent_opts opts = agent_opts(call->cli);
    return fm_agent_run(&opts, err);
}

static enum fm_code run_once(struct fm_cmd_call *call, struct fm_err *err)
{
    const struct once_opts *own = call->opts;
    int64_t timeout_ms = own->timeout_ms > 0 ? own->timeout_ms : 60000;
    const struct fm_once_opts opts = {
        .agent = agent_opts(call->cli),
        .to_stdout = own->to_stdout,
        .timeout_ms = timeout_ms < INT_MAX ? (unsigned)timeout_ms : INT_MAX,
    };
    return fm_agent_once(&opts, err);
}

static const char *const run_text[] = {
    "Polls every target at its interval, keeps the records in the spool, sends them to the REST "
    "proxy and serves health and numbers on [http] listen. Logs to stderr.",
    "SIGTERM or SIGINT: stop polling, send what waits for up to 3 s as long as the proxy takes it, "
    "leave the rest in the spool and end within 5 s; a second one ends at once. SIGHUP: read the "
    "configuration again (a faulty one changes nothing) and try targets that are down at once.",
    NULL,
};
static const char *const run_examples[] = {
    "firstmile run -c /etc/firstmile/config.ini", "as a service does",
    "firstmile run -o rest.url=https://rest.example.com:8082 -o agent.interval=30s",
    "with two settings that win over the file", NULL};

const struct fm_cmd fm_cmd_run = {
    .name = "run",
    .args = "",
    .about = "run the agent in the foreground: poll, spool, send, serve",
    .text = run_text,
    .examples = run_examples,
    .run = run_run,
};

static const struct fm_flag once_flags[] = {
    {0, "stdout", FM_FLAG_SWITCH, offsetof(struct once_opts, to_stdout), NULL,
     "Print each record's value on a line and send nothing."},
    {0, "timeout", FM_FLAG_MSEC, offsetof(struct once_opts, timeout_ms), "DURATION",
     "Give up after this time (default 1m); it caps the timeouts of requests."},
    {.name = NULL},
};
static const char *const once_text[] = {
    "Records are sent from memory under a stream of their own and each is acknowledged by the REST "
    "proxy before the exit code is 0. At the timeout the number of records whose fate is unknown "
    "is told, and the exit code is 1; so it is at Ctrl-C or SIGTERM.",
    "A record that the proxy refuses is asked for again alone, within a quarter of the timeout. "
    "Refused twice, it is given up: it is told, the topic hears of it in a gap, the exit code is "
    "1.",
    NULL,
};
static const char *const once_examples[] = {
    "firstmile once --stdout", "what a poll would send, one JSON object per line", NULL};

const struct fm_cmd fm_cmd_once = {
    .name = "once",
    .args = "",
    .about = "poll every target once, send it, wait for the acknowledgement",
    .text = once_text,
    .examples = once_examples,
    .flags = once_flags,
    .opts_size = sizeof(struct once_opts),
    .run = run_once,
};
