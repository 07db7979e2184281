/* cli/cmd_version.c - `version`; loads nothing and asks nobody, since scripts call it often. */
#include <jansson.h>

#include "base/json.h"
#include "cli/cmd.h"
#include "net/client.h"
#include "net/server.h"
#include "sandbox/sandbox.h"
#include "spool/spool.h"

static enum fm_code run_version(struct fm_cmd_call *call, struct fm_err *err)
{
    const char *const libraries[] = {
        fm_net_version(),           fm_server_version(),        fm_spool_version(),
        "jansson/" JANSSON_VERSION, fm_sandbox_kafka_version(),
    };
    size_t n = sizeof libraries / sizeof libraries[0];
    (void)err;
    if (!call->cli->global.json) {
        (void)printf("firstmile %s (commit %s)\n", FM_VERSION, FM_COMMIT);
        for (size_t i = 0; i < n; i++)
            (void)printf("%s%s\n", i + 1 == n ? "Kafka store of the sandbox: " : "", libraries[i]);
        return FM_OK;
    }
    struct fm_buf out;
    fm_buf_init(&out, 0);
    fm_buf_printf(&out, "{\"version\":\"%s\",\"commit\":\"%s\",\"libraries\":[", FM_VERSION,
                  FM_COMMIT);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            fm_buf_putc(&out, ',');
        fm_json_cstr(&out, libraries[i]);
    }
    fm_buf_puts(&out, "]}\n");
    (void)fputs(fm_buf_str(&out), stdout);
    fm_buf_clear(&out);
    return FM_OK;
}

const struct fm_cmd fm_cmd_version = {
    .name = "version",
    .args = "",
    .about = "print version, commit and library versions",
    .json = true,
    .run = run_version,
};
