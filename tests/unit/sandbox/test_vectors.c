/* Every request of a real Confluent REST Proxy 8.3.1, and what it answered: the sandbox gives
 * the same status, the same code and an answer of the same shape, down to the sentences. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "sandbox/v3_priv.h"

#define FOLDER "tests/data/rest-vectors/confluent-8.3.1"

/* What the sandbox does not do, and why. */
static const struct {
    const char *name;
    const char *reason;
} left_out[] = {
    {"86-too-large-among-good", "a real proxy hangs for ever here; the sandbox answers, and the "
                                "script's word `hang` makes it hang where a test wants that"},
};

struct bytes {
    char *data;
    size_t len;
};

static struct bytes load(const char *name, const char *suffix)
{
    char path[512];
    (void)snprintf(path, sizeof path, FOLDER "/%s.%s", name, suffix);
    FILE *f = fopen(path, "rb");
    struct bytes b = {NULL, 0};
    if (f == NULL)
        return b;
    b.data = calloc(1, 4 << 20);
    b.len = fread(b.data, 1, (4 << 20) - 1, f);
    (void)fclose(f);
    return b;
}

/* The value of a header of a message, copied; false if absent. */
static bool header(const struct bytes *message, const char *name, char *out, size_t size)
{
    const char *end = strstr(message->data, "\r\n\r\n");
    const char *at = strcasestr(message->data, name);
    if (at == NULL || at > end)
        return false;
    at += strlen(name);
    size_t len = strcspn(at, "\r");
    cr_assert(len < size);
    memcpy(out, at, len);
    out[len] = '\0';
    return true;
}

static struct bytes body_of(const struct bytes *message)
{
    char chunked[64];
    const char *at = strstr(message->data, "\r\n\r\n") + 4;
    struct bytes out = {calloc(1, message->len + 1), 0};
    if (!header(message, "\r\nTransfer-Encoding: ", chunked, sizeof chunked)) {
        out.len = message->len - (size_t)(at - message->data);
        memcpy(out.data, at, out.len);
        return out;
    }
    for (;;) {
        char *next;
        size_t n = strtoul(at, &next, 16);
        if (n == 0)
            return out;
        memcpy(out.data + out.len, next + 2, n);
        out.len += n;
        at = next + 2 + n + 2;
    }
}

static void decode_path(const char *from, char *out)
{
    while (*from != '\0') {
        unsigned byte;
        if (*from == '%' && sscanf(from + 1, "%2x", &byte) == 1) {
            *out++ = (char)byte;
            from += 3;
        } else {
            *out++ = *from++;
        }
    }
    *out = '\0';
}

static bool query(const char *path, const char *name, char *out, size_t size)
{
    const char *at = strstr(path, name);
    if (at == NULL)
        return false;
    (void)snprintf(out, size, "%.*s", (int)strcspn(at + strlen(name), "&"), at + strlen(name));
    return true;
}

static void run_request(struct fm_core *core, const char *name, struct answer *answer)
{
    struct bytes message = load(name, "req");
    if (message.data == NULL) { /* body-3mb: described in the folder's README */
        cr_assert_str_eq(name, "52-body-3mb");
        static const char head[] = "{\"records\":[{\"value\":{\"pad\":\"";
        struct bytes body = {calloc(1, 3000100), 0};
        memcpy(body.data, head, sizeof head - 1);
        memset(body.data + sizeof head - 1, 'x', 3000000);
        memcpy(body.data + sizeof head - 1 + 3000000, "\"}}]}", 5);
        ask_produce(core, "/topics/vec", body.data, answer);
        free(body.data);
        return;
    }
    char method[16], raw[512], path[512], accept[256], type[256];
    cr_assert_eq(sscanf(message.data, "%15s %511s", method, raw), 2);
    char timeout[32], max_bytes[32];
    bool has_timeout = query(raw, "timeout=", timeout, sizeof timeout);
    bool has_max_bytes = query(raw, "max_bytes=", max_bytes, sizeof max_bytes);
    raw[strcspn(raw, "?")] = '\0';
    decode_path(raw, path);
    struct bytes body = body_of(&message);
    struct fm_v2_request request = {
        .method = method,
        .path = path,
        .timeout = has_timeout ? timeout : NULL,
        .max_bytes = has_max_bytes ? max_bytes : NULL,
        .accept = header(&message, "\r\nAccept: ", accept, sizeof accept) ? accept : NULL,
        .content_type = header(&message, "\r\nContent-Type: ", type, sizeof type) ? type : NULL,
        .body = body.data,
        .body_len = body.len};
    ask(core, &request, NULL, answer);
    free(body.data);
    free(message.data);
}

/* The same but for the time limit, which the test shortens. */
static void expect_text(const char *name, const char *wanted, const char *got)
{
    char copy[512];
    (void)snprintf(copy, sizeof copy, "%s", wanted);
    char *limit = strstr(copy, "60000 ms");
    if (limit != NULL)
        memmove(limit, limit + 3, strlen(limit + 3) + 1); /* 60000 -> 00 */
    const char *at = got == NULL ? NULL : strstr(got, "20 ms");
    char mine[512];
    (void)snprintf(mine, sizeof mine, "%s", got == NULL ? "(null)" : got);
    if (limit != NULL && at != NULL)
        mine[at - got] = '0';
    cr_assert_str_eq(mine, copy, "%s: %s", name, got);
}

static void expect_offsets(const char *name, const json_t *wanted, const json_t *got)
{
    cr_assert_eq(json_array_size(wanted), json_array_size(got), "%s: entries", name);
    for (size_t i = 0; i < json_array_size(wanted); i++) {
        const json_t *w = json_array_get(wanted, i), *g = json_array_get(got, i);
        const json_t *code = json_object_get(w, "error_code");
        cr_assert(json_equal(code, json_object_get(g, "error_code")), "%s: code of %zu", name, i);
        cr_assert_eq(json_typeof(json_object_get(w, "offset")),
                     json_typeof(json_object_get(g, "offset")), "%s: offset of %zu", name, i);
        cr_assert_eq(json_typeof(json_object_get(w, "partition")),
                     json_typeof(json_object_get(g, "partition")), "%s", name);
        if (json_is_integer(code))
            expect_text(name, json_string_value(json_object_get(w, "error")),
                        json_string_value(json_object_get(g, "error")));
        cr_assert_eq(json_object_size(w), json_object_size(g), "%s: members", name);
    }
}

/* The place in the topic is whatever it is. */
static void expect_records(const char *name, const json_t *wanted, const json_t *got)
{
    cr_assert_eq(json_array_size(wanted), json_array_size(got), "%s: records", name);
    for (size_t i = 0; i < json_array_size(wanted); i++) {
        const json_t *w = json_array_get(wanted, i), *g = json_array_get(got, i);
        cr_assert_eq(json_object_size(w), json_object_size(g), "%s: members", name);
        cr_assert(json_equal(json_object_get(w, "topic"), json_object_get(g, "topic")), "%s", name);
        cr_assert(json_equal(json_object_get(w, "key"), json_object_get(g, "key")), "%s", name);
        cr_assert(json_equal(json_object_get(w, "value"), json_object_get(g, "value")), "%s", name);
        cr_assert_eq(json_integer_value(json_object_get(w, "offset")),
                     json_integer_value(json_object_get(g, "offset")), "%s", name);
        cr_assert(json_is_integer(json_object_get(g, "partition")), "%s", name);
    }
}

static void expect_same_json(const char *name, const json_t *wanted, const json_t *got)
{
    cr_assert_eq(json_typeof(wanted), json_typeof(got), "%s: another type", name);
    if (json_is_array(wanted)) {
        if (strcmp(name, "05-partitions") == 0)
            cr_assert(json_equal(wanted, got), "%s", name);
        else if (strstr(name, "-consumer-") != NULL)
            expect_records(name, wanted, got);
        return; /* /topics: the names are whatever is there */
    }
    const char *key;
    const json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)wanted, key, value) {
        const json_t *mine = json_object_get(got, key);
        cr_assert_not_null(mine, "%s: %s is missing", name, key);
        if (strcmp(key, "message") == 0)
            expect_text(name, json_string_value(value), json_string_value(mine));
        else if (strcmp(key, "offsets") == 0)
            expect_offsets(name, value, mine);
        else if (strcmp(key, "configs") == 0) /* fewer are shown; these must be strings */
            cr_assert(json_is_string(json_object_get(mine, "max.message.bytes")));
        else
            cr_assert(json_equal(value, mine), "%s: %s differs", name, key);
    }
}

static void compare(struct fm_core *core, const char *name)
{
    struct bytes message = load(name, "res");
    unsigned status;
    char type[128] = "";
    cr_assert_eq(sscanf(message.data, "HTTP/1.1 %u", &status), 1, "%s", name);
    (void)header(&message, "\r\nContent-Type: ", type, sizeof type);
    struct bytes body = body_of(&message);
    struct answer answer;
    run_request(core, name, &answer);
    cr_assert_eq(answer.status, status, "%s: status %u, not %u: %s", name, answer.status, status,
                 answer.body);
    cr_assert_str_eq(answer.type, type, "%s: content type", name);
    json_t *wanted = json_loadb(body.data, body.len, 0, NULL);
    json_t *got = json_loadb(answer.body, answer.len, 0, NULL);
    if (status == 204) {
        cr_assert_eq(answer.len, 0, "%s: %s", name, answer.body);
    } else {
        cr_assert_not_null(wanted, "%s", name);
        cr_assert_not_null(got, "%s: %s", name, answer.body);
        expect_same_json(name, wanted, got);
    }
    json_decref(wanted);
    json_decref(got);
    ask_clear(&answer);
    free(body.data);
    free(message.data);
}

static bool is_v2(const char *name)
{
    if (strstr(name, "-v3-") != NULL)
        return false;
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        if (strcmp(name, left_out[i].name) == 0)
            return false;
    return true;
}

static size_t compare_all(struct fm_core *core)
{
    FILE *index = fopen(FOLDER "/index.tsv", "r");
    cr_assert_not_null(index);
    char line[256];
    size_t n = 0;
    cr_assert_not_null(fgets(line, sizeof line, index)); /* the head */
    while (fgets(line, sizeof line, index) != NULL) {
        line[strcspn(line, "\t")] = '\0';
        if (!is_v2(line))
            continue;
        compare(core, line);
        n++;
    }
    (void)fclose(index);
    return n;
}

/* ---- v3 ---- */

/* The id of the recorded cluster, wherever it stands, becomes the sandbox's: it is as long. */
static void rename_cluster(struct bytes *message)
{
    static const char theirs[] = "eJouUGADTbGQ2KzJHCdj7Q";
    cr_assert_eq(strlen(theirs), strlen(FM_V3_CLUSTER));
    for (char *at = message->data; (at = strstr(at, theirs)) != NULL;)
        memcpy(at, FM_V3_CLUSTER, strlen(FM_V3_CLUSTER));
}

/* One report, or one answer: the same members, of which only the stored place and time may differ.
 */
static void expect_same_report(const char *name, const json_t *wanted, const json_t *got)
{
    const char *key;
    const json_t *value;
    cr_assert_eq(json_object_size(wanted), json_object_size(got), "%s: members", name);
    json_object_foreach ((json_t *)(uintptr_t)wanted, key, value) {
        const json_t *mine = json_object_get(got, key);
        cr_assert_not_null(mine, "%s: %s is missing", name, key);
        bool place = strcmp(key, "offset") == 0 || strcmp(key, "partition_id") == 0 ||
                     (strcmp(key, "timestamp") == 0 && strcmp(name, "56-v3-headers") != 0);
        if (strcmp(key, "message") == 0)
            expect_text(name, json_string_value(value), json_string_value(mine));
        else if (place)
            cr_assert_eq(json_typeof(value), json_typeof(mine), "%s: %s", name, key);
        else if (strcmp(key, "successes") == 0)
            for (size_t i = 0; i < json_array_size(value); i++)
                expect_same_report(name, json_array_get(value, i), json_array_get(mine, i));
        else
            cr_assert(json_equal(value, mine), "%s: %s differs", name, key);
    }
}

static void compare_v3(struct fm_core *core, const char *name)
{
    struct bytes message = load(name, "req"), response = load(name, "res");
    char method[16], path[512], accept[256], type[256], wanted_type[128] = "";
    unsigned status;
    struct answer answer;
    rename_cluster(&message);
    rename_cluster(&response);
    cr_assert_eq(sscanf(message.data, "%15s %511s", method, path), 2);
    cr_assert_eq(sscanf(response.data, "HTTP/1.1 %u", &status), 1);
    struct bytes body = body_of(&message), wanted = body_of(&response);
    struct fm_v2_request request = {
        .method = method,
        .path = path,
        .accept = header(&message, "\r\nAccept: ", accept, sizeof accept) ? accept : NULL,
        .content_type = header(&message, "\r\nContent-Type: ", type, sizeof type) ? type : NULL,
        .body = body.data,
        .body_len = body.len};
    ask(core, &request, NULL, &answer);
    (void)header(&response, "\r\nContent-Type: ", wanted_type, sizeof wanted_type);
    cr_assert_eq(answer.status, status, "%s: %u: %s", name, answer.status, answer.body);
    cr_assert_str_eq(answer.type, wanted_type, "%s", name);
    size_t at = 0, mine = 0;
    for (;;) {
        json_error_t end;
        json_t *w = json_loadb(wanted.data + at, wanted.len - at, JSON_DISABLE_EOF_CHECK, &end);
        at += w != NULL ? (size_t)end.position : 0;
        json_t *g = json_loadb(answer.body + mine, answer.len - mine, JSON_DISABLE_EOF_CHECK, &end);
        mine += g != NULL ? (size_t)end.position : 0;
        cr_assert_eq(w == NULL, g == NULL, "%s: another number of reports: %s", name, answer.body);
        if (w == NULL)
            break;
        expect_same_report(name, w, g);
        json_decref(w);
        json_decref(g);
    }
    ask_clear(&answer);
    free(body.data);
    free(wanted.data);
    free(message.data);
    free(response.data);
}

static size_t compare_all_v3(struct fm_core *core)
{
    FILE *index = fopen(FOLDER "/index.tsv", "r");
    char line[256];
    size_t n = 0;
    cr_assert_not_null(index);
    while (fgets(line, sizeof line, index) != NULL) {
        line[strcspn(line, "\t")] = '\0';
        if (strstr(line, "-v3-") == NULL)
            continue;
        compare_v3(core, line);
        n++;
    }
    (void)fclose(index);
    return n;
}

static const char *const topics[] = {"vec:3", "vecsmall:1:1000", "vecread:3"};

Test(vectors, are_answered_as_by_the_real_proxy)
{
    struct fm_core core;
    struct fm_sandbox_opts opts = {
        .topics = topics, .n_topics = 3, .no_create = true, .metadata_timeout_ms = 20};
    ask_open(&core, &opts);
    cr_assert_eq(compare_all(&core), 63);
    ask_close(&core);
}

Test(vectors, are_answered_so_by_the_store_on_disk_too)
{
    char folder[64];
    ask_mkdir(folder);
    struct fm_core core;
    struct fm_sandbox_opts opts = {.topics = topics,
                                   .n_topics = 3,
                                   .no_create = true,
                                   .metadata_timeout_ms = 20,
                                   .data_dir = folder};
    ask_open(&core, &opts);
    cr_assert_eq(compare_all(&core), 63);
    ask_close(&core);
    ask_rmdir(folder);
}

Test(vectors, of_v3_are_answered_as_by_the_real_proxy)
{
    struct fm_core core;
    struct fm_sandbox_opts opts = {
        .topics = topics, .n_topics = 3, .no_create = true, .metadata_timeout_ms = 20};
    ask_open(&core, &opts);
    cr_assert_eq(compare_all_v3(&core), 22);
    ask_close(&core);
}
