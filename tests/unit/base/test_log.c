#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

struct bench {
    int fd[2];
    struct fm_log *log;
    char text[65536];
};

static void start(struct bench *b, enum fm_log_level level, enum fm_log_format format)
{
    cr_assert_eq(pipe2(b->fd, O_CLOEXEC), 0);
    cr_assert_eq(fcntl(b->fd[0], F_SETFL, O_NONBLOCK), 0);
    cr_assert_eq(fm_log_new(&b->log, b->fd[1], level, format, NULL), FM_OK);
}

static const char *written(struct bench *b)
{
    ssize_t n = read(b->fd[0], b->text, sizeof b->text - 1);
    b->text[n > 0 ? n : 0] = '\0';
    return b->text;
}

static void stop(struct bench *b)
{
    fm_log_free(b->log);
    (void)close(b->fd[0]);
    (void)close(b->fd[1]);
}

Test(log, one_event_is_one_line)
{
    struct bench b;
    start(&b, FM_LOG_INFO, FM_LOG_TEXT);
    fm_log(b.log, FM_LOG_WARN, "answer: %s", "a\nfaked line\x1b[2J");
    const char *line = written(&b);
    cr_assert(strstr(line, "Z warn  answer: a faked line [2J\n") != NULL, "%s", line);
    cr_assert_eq(strchr(line, '\n'), line + strlen(line) - 1);
    stop(&b);
}

Test(log, level_decides_and_can_be_changed)
{
    struct bench b;
    start(&b, FM_LOG_WARN, FM_LOG_TEXT);
    fm_log(b.log, FM_LOG_INFO, "quiet");
    cr_assert_not(fm_log_on(b.log, FM_LOG_INFO));
    cr_assert_str_eq(written(&b), "");
    fm_log_set(b.log, FM_LOG_DEBUG, FM_LOG_TEXT);
    fm_log(b.log, FM_LOG_DEBUG, "loud");
    cr_assert(strstr(written(&b), "debug loud") != NULL);
    stop(&b);
}

Test(log, json_lines_are_json)
{
    struct bench b;
    start(&b, FM_LOG_INFO, FM_LOG_JSON);
    fm_log(b.log, FM_LOG_ERROR, "say \"%s\" \\ \xff!", "x");
    json_t *line = json_loads(written(&b), 0, NULL);
    cr_assert_not_null(line, "%s", b.text);
    cr_assert_str_eq(json_string_value(json_object_get(line, "level")), "error");
    cr_assert_str_eq(json_string_value(json_object_get(line, "message")),
                     "say \"x\" \\ \xef\xbf\xbd!");
    cr_assert_eq(strlen(json_string_value(json_object_get(line, "time"))), 24);
    json_decref(line);
    stop(&b);
}

Test(log, cuts_a_long_line_at_a_whole_character)
{
    struct bench b;
    char text[3000];
    for (size_t i = 0; i + 3 < sizeof text; i += 3)
        memcpy(text + i, "\xe2\x82\xac", 4);
    start(&b, FM_LOG_INFO, FM_LOG_JSON);
    fm_log(b.log, FM_LOG_INFO, "%s", text);
    json_t *line = json_loads(written(&b), 0, NULL);
    cr_assert_not_null(line);
    cr_assert_null(strstr(b.text, "\xef\xbf\xbd"));
    json_decref(line);
    stop(&b);
}

Test(log, a_cause_speaks_once_a_minute)
{
    struct bench b;
    start(&b, FM_LOG_INFO, FM_LOG_TEXT);
    for (int i = 0; i < 100; i++)
        fm_log_limited(b.log, FM_LOG_INFO, "target a", "a is down");
    fm_log_limited(b.log, FM_LOG_INFO, "target b", "b is down");
    const char *text = written(&b);
    const char *first = strstr(text, "a is down");
    cr_assert_not_null(first);
    cr_assert_null(strstr(first + 1, "a is down"));
    cr_assert(strstr(text, "b is down") != NULL);
    stop(&b);
}

Test(log, never_blocks_when_nobody_reads, .timeout = 20)
{
    struct bench b;
    start(&b, FM_LOG_INFO, FM_LOG_TEXT);
    for (int i = 0; i < 5000; i++)
        fm_log(b.log, FM_LOG_INFO, "line %d of many that nobody reads", i);
    uint64_t dropped = fm_log_dropped(b.log);
    cr_assert_gt(dropped, 0);
    while (*written(&b) != '\0')
        ;
    fm_log(b.log, FM_LOG_INFO, "room again");
    const char *text = written(&b);
    char note[64];
    (void)snprintf(note, sizeof note, "%llu log lines were dropped", (unsigned long long)dropped);
    cr_assert(strstr(text, note) != NULL, "%s", text);
    fm_log(b.log, FM_LOG_INFO, "next");
    cr_assert_null(strstr(written(&b), "dropped"));
    stop(&b);
}

Test(log, null_is_silent)
{
    fm_log(NULL, FM_LOG_ERROR, "x");
    fm_log_limited(NULL, FM_LOG_ERROR, "c", "x");
    fm_log_free(NULL);
}
