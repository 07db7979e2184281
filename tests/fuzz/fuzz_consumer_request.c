/* What a client may send to the sandbox's consumer interface: the first byte chooses the request,
 * the rest is its body. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>

#include "sandbox/consumer_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(struct fm_consumers *all, const char *method, const char *path, const char *body,
                size_t len)
{
    struct fm_v2 v2;
    struct fm_v2_request request = {.method = method, .path = path, .body = body, .body_len = len};
    fm_v2_init(&v2);
    bool job = fm_consumer_parse(all, &v2, &request);
    assert(job || v2.reply.status >= 200);
    fm_v2_clear(&v2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const tails[] = {"subscription", "assignments", "positions", "positions/end",
                                        "offsets"};
    if (size == 0)
        return 0;
    struct fm_consumers *all = fm_consumers_new(0, false);
    assert(all != NULL);
    char path[64] = "/consumers/g/instances/c/";
    const char *body = (const char *)data + 1;
    ask(all, "POST", "/consumers/g", "{\"name\":\"c\",\"format\":\"json\"}", 28);
    if (data[0] % 6 == 5)
        (void)snprintf(path, sizeof path, "/consumers/h");
    else
        (void)snprintf(path + 25, sizeof path - 25, "%s", tails[data[0] % 6]);
    ask(all, "POST", path, body, size - 1);
    ask(all, "GET", path, body, size - 1);
    ask(all, "GET", "/consumers/g/instances/c/records", NULL, 0);
    ask(all, "DELETE", "/consumers/g/instances/c", NULL, 0);
    fm_consumers_free(all);
    return 0;
}
