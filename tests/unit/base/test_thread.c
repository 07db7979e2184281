#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"

struct room {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool open;
    bool left;
    char name[16];
    int blocked; /* 1: SIGTERM was blocked in the thread */
};

static void *wait_inside(void *arg)
{
    struct room *room = arg;
    sigset_t mask;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
    room->blocked = sigismember(&mask, SIGTERM);
    (void)pthread_mutex_lock(&room->lock);
    while (!room->open)
        (void)fm_cond_wait(&room->cond, &room->lock, 0);
    room->left = true;
    (void)pthread_mutex_unlock(&room->lock);
    (void)pthread_getname_np(pthread_self(), room->name, sizeof room->name);
    return NULL;
}

static void room_init(struct room *room)
{
    *room = (struct room){.open = false};
    (void)pthread_mutex_init(&room->lock, NULL);
    fm_cond_init(&room->cond);
}

Test(thread, join_has_a_limit_and_signals_are_blocked_inside, .timeout = 20)
{
    struct room room;
    room_init(&room);
    pthread_t thread;
    cr_assert_eq(fm_thread_start(&thread, "fm-test", wait_inside, &room, NULL), FM_OK);
    int64_t before = fm_clock_ms();
    cr_assert_not(fm_thread_join(thread, 30));
    cr_assert_geq(fm_clock_ms() - before, 29);
    (void)pthread_mutex_lock(&room.lock);
    room.open = true;
    (void)pthread_cond_signal(&room.cond);
    (void)pthread_mutex_unlock(&room.lock);
    cr_assert(fm_thread_join(thread, 10000));
    cr_assert(room.left);
    cr_assert_eq(room.blocked, 1);
    cr_assert_str_eq(room.name, "fm-test");
    sigset_t mask;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
    cr_assert_eq(sigismember(&mask, SIGTERM), 0, "the starter's own mask came back");
}

Test(thread, a_timed_wait_ends_at_its_deadline, .timeout = 20)
{
    struct room room;
    room_init(&room);
    (void)pthread_mutex_lock(&room.lock);
    int64_t before = fm_clock_ms();
    while (fm_cond_wait(&room.cond, &room.lock, before + 40))
        ;
    cr_assert_geq(fm_clock_ms(), before + 39);
    cr_assert_not(fm_cond_wait(&room.cond, &room.lock, 1)); /* long past: at once */
    (void)pthread_mutex_unlock(&room.lock);
}

static void leave_scope(int *fd_out)
{
    FM_AUTO(fm_auto_free) char *text = strdup("x");
    FM_AUTO(fm_auto_close) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cr_assert_not_null(text);
    cr_assert_geq(fd, 0);
    *fd_out = fd;
}

Test(thread, scope_cleanup_closes_and_frees)
{
    int fd = -1;
    leave_scope(&fd);
    cr_assert_eq(fcntl(fd, F_GETFD), -1);
    cr_assert_eq(errno, EBADF);
    FM_AUTO(fm_auto_close) int none = -1;
    FM_AUTO(fm_auto_free) char *nothing = NULL;
    (void)none;
    (void)nothing;
}

Test(clock, never_runs_backwards_and_is_never_zero)
{
    int64_t ms = fm_clock_ms(), ns = fm_clock_ns();
    cr_assert_gt(ms, 0);
    for (int i = 0; i < 10000; i++) {
        int64_t now = fm_clock_ns();
        cr_assert_geq(now, ns);
        ns = now;
    }
    cr_assert_geq(fm_clock_ms(), ms);
}

Test(clock, writes_wall_time_as_iso_8601)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1763812800123, "2025-11-22T12:00:00.123Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-1000, "1969-12-31T23:59:59.000Z"},
        {951827696005, "2000-02-29T12:34:56.005Z"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[32];
        fm_wall_text(rows[i].ms, text);
        cr_expect_str_eq(text, rows[i].text);
    }
    char text[32];
    fm_wall_text(INT64_MAX, text); /* beyond any year: must only stay inside the buffer */
    cr_assert_lt(strlen(text), sizeof text);
    cr_assert_gt(fm_wall_ms(), INT64_C(1600000000000));
}
