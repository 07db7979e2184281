#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/control.h"

static struct fm_spool *spool_with(unsigned n)
{
    const struct fm_spool_opts opts = {.agent = "edge"};
    struct fm_spool *spool = NULL;
    cr_assert_eq(fm_spool_open(&spool, &opts, NULL), FM_OK);
    struct fm_chunk *chunk = NULL;
    cr_assert_eq(fm_chunk_new(&chunk, "jmx", NULL), FM_OK);
    for (unsigned i = 0; i < n; i++) {
        const struct fm_record rec = {.time_ms = 1000 + i,
                                      .partition = FM_NO_PARTITION,
                                      .key = "host-1",
                                      .key_len = 6,
                                      .value = "{\"v\":1,\"x\":2}",
                                      .value_len = 13,
                                      .id_at = 7};
        cr_assert_eq(fm_chunk_add(chunk, &rec, NULL, 0, NULL), FM_OK);
    }
    cr_assert_eq(fm_spool_store(spool, &chunk, 5000, NULL, NULL, NULL, NULL), FM_OK);
    return spool;
}

static json_t *ask(struct fm_spool *spool, const char *request)
{
    struct fm_buf out;
    fm_buf_init(&out, 0);
    fm_control_answer(spool, request, strlen(request), &out);
    cr_assert_eq(out.data[out.len - 1], '\n');
    cr_assert_eq(memchr(out.data, '\n', out.len - 1), NULL, "an answer is one line");
    json_t *json = json_loadb(out.data, out.len, 0, NULL);
    cr_assert_neq(json, NULL, "not JSON: %s", fm_buf_str(&out));
    fm_buf_clear(&out);
    return json;
}

Test(control, shows_the_spool_in_pages)
{
    struct fm_spool *spool = spool_with(250);
    json_t *page = ask(spool, "{\"cmd\":\"spool.list\"}");
    json_t *records = json_object_get(page, "records");
    cr_assert_eq(json_array_size(records), 200);
    cr_assert(json_is_true(json_object_get(page, "more")));
    const json_t *last = json_array_get(records, 199);
    char request[160];
    (void)snprintf(request, sizeof request,
                   "{\"cmd\":\"spool.export\",\"after_stream\":\"%s\",\"after_seq\":%lld}",
                   json_string_value(json_object_get(last, "stream")),
                   (long long)json_integer_value(json_object_get(last, "seq")));
    json_t *rest = ask(spool, request);
    cr_assert_eq(json_array_size(json_object_get(rest, "records")), 50);
    cr_assert(json_is_false(json_object_get(rest, "more")));
    const json_t *value =
        json_object_get(json_array_get(json_object_get(rest, "records"), 0), "value");
    cr_assert_eq(json_integer_value(json_object_get(value, "seq")), 201);
    json_decref(rest);
    json_decref(page);
    fm_spool_free(spool, 0);
}

Test(control, tells_the_status)
{
    struct fm_spool *spool = spool_with(3);
    json_t *status = ask(spool, "{\"cmd\":\"spool.status\"}");
    cr_assert_eq(json_integer_value(json_object_get(status, "records")), 3);
    cr_assert(json_is_false(json_object_get(status, "durable")));
    json_decref(status);
    fm_spool_free(spool, 0);
}

Test(control, drops_by_order_of_an_operator)
{
    struct fm_spool *spool = spool_with(3);
    json_t *answer = ask(spool, "{\"cmd\":\"spool.drop\",\"limit\":2}");
    cr_assert_eq(json_integer_value(json_object_get(answer, "dropped")), 2);
    json_decref(answer);
    fm_spool_free(spool, 0);
}

Test(control, answers_rubbish_with_an_error)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"cmd\":7}",
        "{\"cmd\":\"rm\"}",
        "{\"cmd\"",
        "\x80\xff",
        "{\"cmd\":\"spool.dead.show\"}",
    };
    struct fm_spool *spool = spool_with(1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json_t *answer = ask(spool, bad[i]);
        cr_expect(json_is_string(json_object_get(answer, "error")), "no error for %s", bad[i]);
        json_decref(answer);
    }
    fm_spool_free(spool, 0);
}

Test(control, serves_its_own_user_only_and_leaves_nothing_behind)
{
    char dir[] = "/tmp/fm-control-XXXXXX", path[64];
    cr_assert_neq(mkdtemp(dir), NULL);
    (void)snprintf(path, sizeof path, "%s/control.sock", dir);
    struct fm_spool *spool = spool_with(1);
    const struct fm_control_opts opts = {.path = path, .spool = spool};
    struct fm_control *control = NULL;
    cr_assert_eq(fm_control_open(&control, &opts, NULL), FM_OK);
    struct stat st;
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    static const char request[] = "{\"cmd\":\"spool.status\"}\n";
    cr_assert_eq(write(fd, request, sizeof request - 1), (ssize_t)sizeof request - 1);
    fm_control_serve(control);
    char answer[2048];
    cr_assert_gt(read(fd, answer, sizeof answer), 0);
    cr_assert_eq(answer[0], '{');
    (void)close(fd);
    /* a client that goes away at once holds nobody */
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    (void)close(fd);
    fm_control_serve(control);
    fm_control_close(control);
    cr_assert_neq(stat(path, &st), 0);
    cr_assert_eq(rmdir(dir), 0);
    fm_spool_free(spool, 0);
}
