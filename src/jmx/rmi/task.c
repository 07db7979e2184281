#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "jmx/rmi/driver_priv.h"

enum { EXPECTED_OF = 64 }; /* of so many bytes all but one are waited for */

/* ---- the line of tasks ---- */

static bool push_again(struct fm_rmi *d, const struct fm_rmi_task *task)
{
    if (d->n_again == d->cap_again) {
        size_t cap = d->cap_again == 0 ? 16 : d->cap_again * 2;
        struct fm_rmi_task *again = realloc(d->again, cap * sizeof *again);
        if (again == NULL)
            return false;
        d->again = again;
        d->cap_again = cap;
    }
    d->again[d->n_again++] = *task;
    return true;
}

bool fm_rmi_requeue(struct fm_rmi *d)
{
    bool ok = true;
    for (; d->n_window > 0; d->n_window--) /* the oldest last, so that it comes out first */
        ok = push_again(d, &d->window[(d->first + d->n_window - 1) % FM_RMI_WINDOW]) && ok;
    d->first = 0;
    d->window_bytes = 0;
    return ok;
}

static struct fm_rmi_task take_oldest(struct fm_rmi *d)
{
    struct fm_rmi_task task = d->window[d->first];
    d->first = (d->first + 1) % FM_RMI_WINDOW;
    d->n_window--;
    d->window_bytes -= task.bytes;
    return task;
}

bool fm_rmi_done(const struct fm_rmi *d)
{
    return d->n_window == 0 && d->n_again == 0 && d->next == d->list.n && d->sent_any &&
           d->next_late == d->n_late;
}

static struct fm_jmx_call *call_of(const struct fm_rmi *d, const struct fm_rmi_task *task)
{
    return task->call == SIZE_MAX ? NULL : &d->list.calls[task->call];
}

static void set_failure(struct fm_jmx_call *call, const struct fm_err *err)
{
    if (call == NULL)
        return;
    call->code = err->code;
    call->err = *err;
    call->value = (struct fm_value){.kind = FM_V_NULL};
}

void fm_rmi_abandon(struct fm_rmi *d, enum fm_code code, const struct fm_err *err)
{
    struct fm_err failure = *err;
    failure.code = code;
    for (size_t i = 0; i < d->n_window; i++)
        set_failure(call_of(d, &d->window[(d->first + i) % FM_RMI_WINDOW]), &failure);
    for (size_t i = 0; i < d->n_again; i++)
        set_failure(call_of(d, &d->again[i]), &failure);
    d->n_window = d->n_again = d->window_bytes = d->first = 0;
    d->next = d->list.n;
    d->next_late = d->n_late;
}

/* ---- unreadable attributes ---- */

static const struct fm_rmi_unreadable *find_unreadable(const struct fm_rmi *d, const char *name,
                                                       const char *attribute)
{
    for (size_t i = 0; i < d->n_unreadable; i++)
        if (strcmp(d->unreadable[i].attribute, attribute) == 0 &&
            strcmp(d->unreadable[i].name, name) == 0)
            return &d->unreadable[i];
    return NULL;
}

static void remember_unreadable(struct fm_rmi *d, const char *name, const char *attribute,
                                const struct fm_err *why)
{
    if (find_unreadable(d, name, attribute) != NULL || d->n_unreadable == FM_RMI_MAX_UNREADABLE)
        return;
    if (d->unreadable == NULL)
        d->unreadable = calloc(FM_RMI_MAX_UNREADABLE, sizeof *d->unreadable);
    if (d->unreadable == NULL)
        return; /* found again with the next list */
    struct fm_rmi_unreadable *u = &d->unreadable[d->n_unreadable];
    u->name = strdup(name);
    u->attribute = strdup(attribute);
    u->err = *why;
    if (u->name == NULL || u->attribute == NULL) {
        free(u->name);
        free(u->attribute);
        return;
    }
    d->n_unreadable++;
    fm_log(d->log, FM_LOG_WARN, "%s: attribute %s of %s cannot be read and is left out: %s", d->url,
           attribute, name, fm_err_text(why));
}

void fm_rmi_forget_unreadable(struct fm_rmi *d)
{
    for (size_t i = 0; i < d->n_unreadable; i++) {
        free(d->unreadable[i].name);
        free(d->unreadable[i].attribute);
    }
    free(d->unreadable);
    d->unreadable = NULL;
    d->n_unreadable = 0;
}

/* ---- sending ---- */

static void set_empty_object(struct fm_jmx_call *call)
{
    if (call->value.kind != FM_V_OBJECT)
        call->value = (struct fm_value){.kind = FM_V_OBJECT};
    if (call->code == FM_EAGAIN)
        call->code = FM_OK;
}

/* @return false if there is nothing to ask: the outcome is known already */
static bool write_attributes(struct fm_rmi *d, struct fm_rmi_task *task, struct fm_jmx_call *call)
{
    size_t n = 0;
    const char **asked = calloc(task->high - task->low + 1, sizeof *asked);
    if (asked == NULL) {
        d->link.out.failed = true;
        return true;
    }
    uint64_t key = task->high - task->low;
    for (size_t i = task->low; i < task->high; i++)
        if (find_unreadable(d, call->name, call->attributes[i]) == NULL) {
            asked[n++] = call->attributes[i];
            key = fm_hash_wide(key, call->attributes[i], strlen(call->attributes[i]));
        }
    task->key = (uint32_t)key | 1;
    if (n > 0)
        fm_call_attributes(&d->link.out, d->id, call->name, asked, n);
    else
        set_empty_object(call);
    free(asked);
    return n > 0;
}

static bool write_reason(struct fm_rmi *d, struct fm_jmx_call *call)
{
    const struct fm_rmi_unreadable *u = find_unreadable(d, call->name, call->attributes[0]);
    if (u != NULL)
        set_failure(call, &u->err);
    else
        fm_call_attribute(&d->link.out, d->id, call->name, call->attributes[0]);
    return u == NULL;
}

static bool write_task(struct fm_rmi *d, struct fm_rmi_task *task)
{
    struct fm_jmx_call *call = call_of(d, task);
    if (call == NULL) {
        fm_call_query_names(&d->link.out, d->id, "JMImplementation:type=MBeanServerDelegate");
        return true;
    }
    bool complete = call->op == FM_JMX_NAMES ||
                    (call->name != NULL && (call->op != FM_JMX_REASON || call->n_attributes > 0));
    if (!complete) {
        struct fm_err err;
        (void)fm_err_set(&err, FM_EUSAGE, "a call without a name or an attribute");
        set_failure(call, &err);
        return false;
    }
    switch (call->op) {
    case FM_JMX_NAMES:
        fm_call_query_names(&d->link.out, d->id, call->name);
        return true;
    case FM_JMX_INFO:
        fm_call_info(&d->link.out, d->id, call->name);
        return true;
    case FM_JMX_READ:
        return write_attributes(d, task, call);
    case FM_JMX_REASON:
        return write_reason(d, call);
    }
    return false;
}

/* Whether a call must wait for the end of the list, or is left out altogether. */
static bool is_slow(struct fm_rmi *d, size_t index)
{
    struct fm_jmx_call *call = &d->list.calls[index];
    const struct fm_rmi_slow *slow =
        d->n_slow == 0 || call->name == NULL ? NULL : fm_rmi_slow_find(d, call->name);
    if (slow == NULL)
        return false;
    int64_t left = slow->until_ms - fm_clock_ms();
    if (slow->until_ms == 0 || left <= 0) {
        if (d->n_late == FM_RMI_MAX_LATE)
            return false;
        d->late[d->n_late++] = index;
        return true;
    }
    struct fm_err err;
    (void)fm_err_set(&err, FM_ETIMEOUT,
                     "this MBean did not answer in time and is left out for another %d s",
                     (int)(left / 1000) + 1);
    set_failure(call, &err);
    return true;
}

static bool next_call(struct fm_rmi *d, size_t *index)
{
    while (d->next < d->list.n) {
        *index = d->next++;
        if (!is_slow(d, *index))
            return true;
    }
    if (d->next_late == d->n_late)
        return false;
    *index = d->late[d->next_late++];
    return true;
}

/* The next task in line. A list that asks nothing still shows that the session works. */
static bool next_task(struct fm_rmi *d, struct fm_rmi_task *out)
{
    if (d->n_again > 0) {
        *out = d->again[--d->n_again];
        return true;
    }
    size_t index;
    if (next_call(d, &index)) {
        *out = (struct fm_rmi_task){.call = index, .high = d->list.calls[index].n_attributes};
        return true;
    }
    *out = (struct fm_rmi_task){.call = SIZE_MAX};
    return !d->sent_any;
}

/* How many bytes are worth waiting for, if the answers are as long as those of the last list: most
 * of the rest, or half a window, so that the next calls go out in time. */
static size_t expected_bytes(const struct fm_rmi *d)
{
    if (d->n_window < 2 || d->last_n != d->list.n || d->n_again > 0)
        return 0;
    if (d->next < d->list.n || d->next_late < d->n_late)
        return d->last_bytes / d->last_n * d->n_window / 2;
    const size_t came = d->cost.bytes_in + d->link.bytes_in - d->list_bytes;
    return came < d->last_bytes ? (d->last_bytes - came) / EXPECTED_OF * (EXPECTED_OF - 1) : 0;
}

enum fm_code fm_rmi_pump(struct fm_rmi *d, struct fm_err *err)
{
    const bool was_empty = d->n_window == 0;
    struct fm_rmi_task task;
    while (d->n_window < FM_RMI_WINDOW && next_task(d, &task)) {
        size_t before = d->link.out.len;
        if (!write_task(d, &task))
            continue;
        FM_TRY(fm_buf_code(&d->link.out, err));
        task.bytes = d->link.out.len - before;
        if (d->n_window > 0 && d->window_bytes + task.bytes > FM_RMI_WINDOW_BYTES) {
            fm_buf_truncate(&d->link.out, before);
            if (!push_again(d, &task))
                return fm_err_nomem(err);
            break;
        }
        d->window[(d->first + d->n_window++) % FM_RMI_WINDOW] = task;
        d->window_bytes += task.bytes;
        d->sent_any = true;
    }
    d->cost.round_trips += was_empty && d->n_window > 0;
    FM_TRY(fm_link_send(&d->link, err));
    if (d->link.open)
        fm_conn_expect(d->link.conn, expected_bytes(d), d->n_window > 1);
    return FM_OK;
}

/* ---- answers ---- */

static enum fm_code append_members(struct fm_rmi *d, struct fm_jmx_call *call,
                                   const struct fm_value *part)
{
    size_t n = call->value.kind == FM_V_OBJECT ? call->value.object.n : 0;
    if (n == 0) {
        call->value = *part;
        return FM_OK;
    }
    struct fm_member *all = fm_arena_array(d->list.arena, n + part->object.n, sizeof *all);
    if (all == NULL)
        return d->list.arena->over_limit
                   ? fm_err_set(&call->err, FM_ELIMIT, "the values need more memory than allowed")
                   : fm_err_nomem(&call->err);
    memcpy(all, call->value.object.members, n * sizeof *all);
    if (part->object.n > 0)
        memcpy(all + n, part->object.members, part->object.n * sizeof *all);
    call->value.object.members = all;
    call->value.object.n = n + part->object.n;
    return FM_OK;
}

static void set_outcome(struct fm_jmx_call *call, enum fm_code code)
{
    if (code != FM_OK)
        call->value = (struct fm_value){.kind = FM_V_NULL};
    if (call->code == FM_EAGAIN || code != FM_OK)
        call->code = code;
}

/* What was just parsed and converted may come again. */
static void learn(struct fm_rmi *d, uint32_t key, const struct fm_value *value)
{
    const struct fm_link *link = &d->link;
    if (link->ser.trace != NULL && link->ser.start == 0)
        fm_moulds_learn(d->moulds, key, &d->convert, &link->ser,
                        link->in.data + link->at - link->ser.bytes, link->ser.bytes, value);
}

static void convert(struct fm_rmi *d, const struct fm_rmi_task *task, struct fm_jmx_call *call)
{
    struct fm_convert c;
    struct fm_value value = {.kind = FM_V_NULL};
    enum fm_code code = FM_EBUG;
    const struct fm_ser_node *root = d->link.ser.root;
    fm_convert_init(&c, &d->convert, d->list.arena, &call->err);
    switch (call->op) {
    case FM_JMX_NAMES:
        code = fm_convert_names(&c, root, &value);
        break;
    case FM_JMX_INFO:
        code = fm_convert_info(&c, root, &value);
        break;
    case FM_JMX_READ:
        code = fm_convert_attributes(&c, root, &value);
        if (code == FM_OK)
            learn(d, task->key, &value);
        break;
    case FM_JMX_REASON:
        code = fm_convert_node(&c, root, &value);
        break;
    }
    if (code == FM_OK && call->op == FM_JMX_READ)
        code = append_members(d, call, &value);
    else
        call->value = value;
    set_outcome(call, code);
}

static enum fm_code take_exception(struct fm_rmi *d, const struct fm_rmi_task *task,
                                   struct fm_err *err)
{
    struct fm_err why = {0};
    struct fm_throwable t = fm_throwable_judge(d->link.ser.root, false, &why);
    if (t.gone) {
        if (!push_again(d, task) || !fm_rmi_requeue(d))
            return fm_err_nomem(err);
        /* What was behind it in the window is pushed above it; order does not matter here. */
        *err = why;
        return fm_rmi_relogin(d, err);
    }
    set_failure(call_of(d, task), &why);
    return t.closes ? fm_rmi_reopen(d, err) : FM_OK;
}

/* One half of an unreadable answer each, so that the culprit is found. */
static bool split(struct fm_rmi *d, const struct fm_rmi_task *task)
{
    size_t middle = task->low + (task->high - task->low) / 2;
    const struct fm_rmi_task left = {.call = task->call, .low = task->low, .high = middle};
    const struct fm_rmi_task right = {.call = task->call, .low = middle, .high = task->high};
    d->splits++;
    return push_again(d, &right) && push_again(d, &left);
}

enum fm_code fm_rmi_take_broken(struct fm_rmi *d, const struct fm_err *why, struct fm_err *err)
{
    struct fm_rmi_task task = take_oldest(d);
    struct fm_jmx_call *call = call_of(d, &task);
    bool ok = fm_rmi_requeue(d); /* what is behind it comes after its halves */
    if (call != NULL && call->op == FM_JMX_READ && task.high - task.low > 1 &&
        d->splits < FM_RMI_MAX_SPLITS) {
        ok = split(d, &task) && ok;
    } else if (call != NULL && call->op == FM_JMX_READ && task.high - task.low == 1) {
        remember_unreadable(d, call->name, call->attributes[task.low], why);
        set_empty_object(call);
    } else {
        if (call != NULL && call->op == FM_JMX_REASON)
            remember_unreadable(d, call->name, call->attributes[0], why);
        set_failure(call, why);
    }
    return ok ? fm_rmi_reopen(d, err) : fm_err_nomem(err);
}

/* The oldest task was answered. */
static void note_answer(struct fm_rmi *d, struct fm_jmx_call *call, size_t bytes)
{
    int64_t now_ns = fm_clock_ns();
    d->last_answer_ms = now_ns / 1000000 + 1; /* fm_clock_ms() */
    d->stalls = 0;
    if (call != NULL) {
        call->bytes += bytes;
        call->took_ms += (double)(now_ns - d->mark_ns) / 1e6;
        if (d->n_slow > 0 && call->name != NULL)
            fm_rmi_slow_answered(d, call->name);
    }
    d->mark_ns = now_ns;
}

enum fm_code fm_rmi_take(struct fm_rmi *d, struct fm_err *err)
{
    const struct fm_ser *ser = &d->link.ser;
    struct fm_jmx_call *call = call_of(d, &d->window[d->first]);
    note_answer(d, call, ser->bytes);
    if (ser->stream_exception) {
        struct fm_err why = {0};
        (void)fm_throwable_judge(ser->root, false, &why);
        return fm_rmi_take_broken(d, &why, err);
    }
    struct fm_rmi_task task = take_oldest(d);
    if (ser->exception)
        return take_exception(d, &task, err);
    if (call != NULL)
        convert(d, &task, call);
    return FM_OK;
}

enum fm_code fm_rmi_take_known(struct fm_rmi *d, bool *taken)
{
    struct fm_rmi_task task = d->window[d->first];
    struct fm_jmx_call *call = call_of(d, &task);
    struct fm_value value;
    *taken = false;
    if (d->link.begun)
        return FM_OK;
    if (d->moulds == NULL || task.key == 0 || !fm_link_has_rest(&d->link))
        return FM_OK;
    struct fm_cursor cur = fm_link_rest_bytes(&d->link);
    const enum fm_mould_fit fit = fm_moulds_take(d->moulds, task.key, &d->convert, &cur,
                                                 d->link.max_answer, d->list.arena, &value);
    if (fit == FM_MOULD_MORE)
        return FM_EAGAIN;
    if (fit == FM_MOULD_NONE) {
        d->link.trace = fm_moulds_wants(d->moulds, task.key);
        return FM_OK;
    }
    fm_link_skip(&d->link, cur.at);
    note_answer(d, call, cur.at);
    (void)take_oldest(d);
    set_outcome(call, append_members(d, call, &value));
    *taken = true;
    return FM_OK;
}
