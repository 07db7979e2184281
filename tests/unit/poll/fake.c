#include "fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake_jvm *fake_jvms[8];

struct fake { /* what a struct fm_jmx is here */
    struct fake_jvm *jvm;
    struct fm_jmx_call *calls;
    size_t n;
    fm_jmx_done *done;
    void *arg;
    bool waiting;
};

static enum fm_code fake_open(struct fm_jmx **out, const struct fm_jmx_opts *opts,
                              struct fm_err *err)
{
    for (size_t i = 0; i < 8 && fake_jvms[i] != NULL; i++) {
        if (strcmp(fake_jvms[i]->url, opts->url) != 0)
            continue;
        struct fake *f = calloc(1, sizeof *f);
        f->jvm = fake_jvms[i];
        f->jvm->opens++;
        *out = (struct fm_jmx *)f;
        return FM_OK;
    }
    return fm_err_set(err, FM_ECONF, "no fake JVM at %s", opts->url);
}

static void fake_close(struct fm_jmx *jmx)
{
    struct fake *f = (struct fake *)jmx;
    if (f->waiting)
        f->jvm->in_flight--;
    f->jvm->closes++;
    free(f);
}

static struct fm_value text(const char *s)
{
    return (struct fm_value){.kind = FM_V_STRING, .text = {s, strlen(s)}};
}

/* Every bean has A = 1, Usage {used 2, max 3}; "Gone" is listed by INFO and cannot be read. */
static void fake_read(struct fake_jvm *jvm, struct fm_jmx_call *call, struct fm_arena *arena)
{
    call->value.kind = FM_V_OBJECT;
    struct fm_member *m = fm_arena_array(arena, call->n_attributes + 1, sizeof *m);
    size_t n = 0;
    for (size_t i = 0; i < call->n_attributes; i++) {
        const char *name = call->attributes[i];
        struct fm_value v = {.kind = FM_V_INT, .i = 1};
        if (strcmp(name, "Name") == 0) {
            v = text("7@fake");
        } else if (strcmp(name, "StartTime") == 0) {
            v.i = jvm->start_time;
        } else if (strcmp(name, "Usage") == 0) {
            struct fm_member *u = fm_arena_array(arena, 2, sizeof *u);
            u[0] = (struct fm_member){{"used", 4}, {.kind = FM_V_INT, .i = 2}};
            u[1] = (struct fm_member){{"max", 3}, {.kind = FM_V_INT, .i = 3}};
            v = (struct fm_value){.kind = FM_V_OBJECT, .object = {u, 2}};
        } else if (strcmp(name, "A") != 0) {
            continue;
        }
        m[n++] = (struct fm_member){{fm_arena_strndup(arena, name, strlen(name)), strlen(name)}, v};
    }
    call->value.object.members = m;
    call->value.object.n = n;
}

static void fake_info(struct fm_jmx_call *call, struct fm_arena *arena)
{
    static const char *const names[] = {"A", "Gone", "Usage"};
    struct fm_value *items = fm_arena_array(arena, 3, sizeof *items);
    for (size_t i = 0; i < 3; i++) {
        struct fm_member *m = fm_arena_array(arena, 2, sizeof *m);
        m[0] = (struct fm_member){{"name", 4}, text(names[i])};
        m[1] = (struct fm_member){{"readable", 8}, {.kind = FM_V_BOOL, .b = true}};
        items[i] = (struct fm_value){.kind = FM_V_OBJECT, .object = {m, 2}};
    }
    struct fm_member *top = fm_arena_array(arena, 1, sizeof *top);
    top[0] = (struct fm_member){{"attributes", 10}, {.kind = FM_V_ARRAY, .array = {items, 3}}};
    call->value = (struct fm_value){.kind = FM_V_OBJECT, .object = {top, 1}};
}

static void fake_names(struct fake_jvm *jvm, struct fm_jmx_call *call, struct fm_arena *arena)
{
    struct fm_name pattern, name;
    size_t n = 0, room = jvm->many > 0 ? (size_t)jvm->many : FAKE_BEANS;
    struct fm_value *items = fm_arena_array(arena, room, sizeof *items);
    for (; items != NULL && n < (size_t)jvm->many; n++) {
        char bean[40];
        (void)snprintf(bean, sizeof bean, "d:n=%08zu", n * 8 + (size_t)jvm->names % 8);
        const char *copy = fm_arena_strndup(arena, bean, strlen(bean));
        if (copy == NULL)
            items = NULL;
        else
            items[n] = text(copy);
    }
    if (items == NULL) {
        call->code = fm_err_set(&call->err, FM_ELIMIT, "the list is too large");
        return;
    }
    if (fm_name_parse(&pattern, arena, call->name, NULL) != FM_OK)
        return;
    for (int i = 0; i < jvm->n_beans; i++)
        if (fm_name_parse(&name, arena, jvm->beans[i], NULL) == FM_OK &&
            fm_name_match(&pattern, &name))
            items[n++] = text(jvm->beans[i]);
    call->value = (struct fm_value){.kind = FM_V_ARRAY, .array = {items, n}};
}

static bool exists(const struct fake_jvm *jvm, const char *name)
{
    bool found = strcmp(name, "java.lang:type=Runtime") == 0 || jvm->many > 0;
    for (int i = 0; !found && i < jvm->n_beans; i++)
        found = strcmp(jvm->beans[i], name) == 0;
    return found;
}

static void answer(struct fake_jvm *jvm, struct fm_jmx_call *call, struct fm_arena *arena)
{
    call->code = FM_OK;
    call->bytes = 60;
    call->took_ms = 3;
    if (call->op != FM_JMX_NAMES && !exists(jvm, call->name)) {
        call->code = fm_err_set(&call->err, FM_ENOTFOUND, "no such bean");
    } else if (call->op == FM_JMX_READ) {
        jvm->reads++;
        fake_read(jvm, call, arena);
    } else if (call->op == FM_JMX_INFO) {
        jvm->infos++;
        fake_info(call, arena);
    } else if (call->op == FM_JMX_NAMES) {
        jvm->names++;
        fake_names(jvm, call, arena);
    } else {
        jvm->reasons++;
        call->code = strcmp(call->attributes[0], "Gone") == 0
                         ? fm_err_set(&call->err, FM_EREMOTE, "getter failed")
                         : fm_err_set(&call->err, FM_ENOTFOUND, "no such attribute");
    }
}

static enum fm_code fake_start(struct fm_jmx *jmx, struct fm_jmx_call *calls, size_t n,
                               struct fm_arena *arena, fm_jmx_done *done, void *arg,
                               struct fm_err *err)
{
    (void)err;
    struct fake *f = (struct fake *)jmx;
    struct fake_jvm *jvm = f->jvm;
    jvm->lists++;
    *f = (struct fake){jvm, calls, n, done, arg, true};
    int flying = ++jvm->in_flight;
    if (flying > jvm->max_in_flight)
        jvm->max_in_flight = flying;
    struct fm_err refused = {0};
    for (size_t i = 0; i < n; i++)
        calls[i].code = FM_ETIMEOUT;
    if (jvm->hang)
        return FM_OK;
    for (size_t i = 0; jvm->hang_names && i < n; i++)
        if (calls[i].op == FM_JMX_NAMES)
            return FM_OK;
    if (jvm->refuse != 0) {
        for (size_t i = 0; i < n; i++)
            calls[i].code = (enum fm_code)jvm->refuse;
        (void)fm_err_set(&refused, (enum fm_code)jvm->refuse, "refused by the fake");
    } else {
        for (size_t i = 0; i < n; i++) {
            if (jvm->hangs_on && calls[i].op == FM_JMX_READ &&
                strcmp(calls[i].name, jvm->hang_bean) == 0)
                return FM_OK; /* and all behind it */
            answer(jvm, &calls[i], arena);
        }
    }
    f->waiting = false;
    jvm->in_flight--;
    done(jmx, refused.code, &refused, &(struct fm_jmx_cost){1, 0, 100, 100}, arg);
    return FM_OK;
}

static void fake_cancel(struct fm_jmx *jmx)
{
    struct fake *f = (struct fake *)jmx;
    struct fm_err err = {0};
    if (!f->waiting)
        return;
    for (size_t i = 0; i < f->n; i++) /* a driver still knows what it was asked */
        f->jvm->asked += (int)strlen(f->calls[i].name);
    f->waiting = false;
    f->jvm->in_flight--;
    f->jvm->cancels++;
    (void)fm_err_set(&err, FM_ETIMEOUT, "no answer from the fake");
    f->done(jmx, FM_ETIMEOUT, &err, &(struct fm_jmx_cost){0}, f->arg);
}

const struct fm_sessions fake_sessions = {fake_open, fake_close, fake_start, fake_cancel};
