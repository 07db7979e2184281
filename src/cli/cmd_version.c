/* cli/cmd_version.c - `version`; loads nothing and asks nobody, since scripts call it often. */
#include <jansson.h>
#include <string.h>

#include "base/json.h"
#include "cli/cmd.h"
#include "frame/frame.h"
#include "net/client.h"
#include "net/server.h"
#include "sandbox/sandbox.h"
#include "spool/spool.h"

enum { LIBRARIES = 6, VERSION_MAX = 24 };

struct library {
    const char *name; /* put in front when the library does not say it itself */
    const char *version;
};

/* At build time, which costs nothing; with -v what libcurl says of itself and its own libraries. */
static void list_libraries(struct library out[LIBRARIES], char kafka[VERSION_MAX], bool verbose)
{
    out[0] = (struct library){"libcurl/", verbose ? fm_net_version() : fm_net_built_with()};
    out[1] = (struct library){"libmicrohttpd/", fm_server_version()};
    out[2] = (struct library){"SQLite/", fm_spool_version()};
    out[3] = (struct library){"jansson/", JANSSON_VERSION};
    out[4] = (struct library){"LZ4/", fm_frame_version()};
    out[5] = (struct library){"librdkafka/", kafka};
    fm_sandbox_kafka_version(kafka, VERSION_MAX);
    for (size_t i = 0; i < LIBRARIES; i++)
        if (strchr(out[i].version, '/') != NULL)
            out[i].name = "";
}

static enum fm_code run_version(struct fm_cmd_call *call, struct fm_err *err)
{
    struct library libraries[LIBRARIES];
    char kafka[VERSION_MAX];
    struct fm_buf out;
    (void)err;
    list_libraries(libraries, kafka, call->cli->global.verbose > 0);
    fm_buf_init(&out, 0);
    bool json = call->cli->global.json;
    fm_buf_printf(&out,
                  json ? "{\"version\":\"%s\",\"commit\":\"%s\",\"libraries\":["
                       : "firstmile %s (commit %s)\n",
                  FM_VERSION, FM_COMMIT);
    for (size_t i = 0; i < LIBRARIES; i++) {
        char text[512];
        (void)snprintf(text, sizeof text, "%s%s", libraries[i].name, libraries[i].version);
        if (json && i > 0)
            fm_buf_putc(&out, ',');
        if (json)
            fm_json_cstr(&out, text);
        else
            fm_buf_printf(&out, "%s\n", text);
    }
    if (json)
        fm_buf_puts(&out, "]}\n");
    (void)fputs(fm_buf_str(&out), stdout);
    fm_buf_clear(&out);
    return FM_OK;
}

const struct fm_cmd fm_cmd_version = {
    .name = "version",
    .args = "",
    .about = "print version, commit and library versions (-v: theirs too)",
    .json = true,
    .run = run_version,
};
