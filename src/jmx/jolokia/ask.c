/* What is sent to a Jolokia agent next: the ranges of calls that are left, as one POST. */
#include "base/clock.h"
#include "jmx/jolokia/session_priv.h"

const struct fm_jmx_call fm_jolokia_runtime_name = {
    .op = FM_JMX_REASON,
    .name = "java.lang:type=Runtime",
    .attributes = (const char *const[]){"Name"},
    .n_attributes = 1,
};

uint64_t fm_jolokia_call_hash(const struct fm_jmx_call *call)
{
    uint64_t hash = fm_jolokia_hash((uint64_t)call->op + 1, call->name != NULL ? call->name : "");
    for (size_t i = 0; i < call->n_attributes; i++)
        hash = fm_jolokia_hash(hash * 31 + 1, call->attributes[i]);
    return hash;
}

static bool is_refused(const struct fm_jolokia *d, const struct fm_jmx_call *call)
{
    uint64_t hash = d->n_refused > 0 ? fm_jolokia_call_hash(call) : 0;
    for (size_t i = 0; i < d->n_refused; i++)
        if (d->refused[i] == hash)
            return true;
    return false;
}

bool fm_jolokia_sendable(struct fm_jolokia *d, struct fm_jmx_call *call)
{
    bool needs_attribute = call->op == FM_JMX_READ || call->op == FM_JMX_REASON;
    bool complete = (call->name != NULL || call->op == FM_JMX_NAMES) &&
                    (call->op != FM_JMX_REASON || call->n_attributes > 0);
    struct fm_arena scratch;
    struct fm_name name;
    fm_arena_init(&scratch, 0);
    call->code = FM_EAGAIN;
    if (!complete)
        call->code = fm_err_set(&call->err, FM_EUSAGE, "a call without a name or an attribute");
    else if (is_refused(d, call))
        call->code = fm_err_set(&call->err, FM_EREMOTE, "the agent refused this request before");
    else if (call->name != NULL && fm_name_parse(&name, &scratch, call->name, &call->err) != FM_OK)
        call->code = FM_EUSAGE;
    else if (fm_jolokia_left_out(d, call))
        ; /* it says so */
    else if (needs_attribute && call->n_attributes == 0) {
        call->code = FM_OK;
        call->value = (struct fm_value){.kind = FM_V_OBJECT};
    }
    fm_arena_clear(&scratch);
    return call->code == FM_EAGAIN;
}

static void begin_item(struct fm_jolokia *d, enum fm_jolokia_item_kind kind, size_t call)
{
    fm_buf_putc(&d->body, d->n_items == 0 ? '[' : ',');
    d->items[d->n_items++] = (struct fm_jolokia_item){kind, call};
}

static void put_call(struct fm_jolokia *d, size_t index)
{
    const struct fm_jmx_call *call = &d->list.calls[index];
    bool values = call->op == FM_JMX_READ || call->op == FM_JMX_REASON;
    if (values && !d->types.full && fm_jolokia_types_find(&d->types, call->name) == NULL) {
        begin_item(d, ITEM_TYPES, index);
        fm_jolokia_put_list(&d->body, call->name, &d->target);
    }
    begin_item(d, ITEM_CALL, index);
    fm_jolokia_put_call(&d->body, call, &d->target);
}

/* The topmost range, as far as it fits. */
static void put_range(struct fm_jolokia *d)
{
    struct fm_jolokia_range *range = &d->ranges[--d->n_ranges];
    const size_t high = range->high;
    size_t at = range->low;
    d->sent.low = at;
    for (; at < high && d->n_items + 2 <= FM_JOLOKIA_ITEMS && d->body.len < FM_JOLOKIA_BODY; at++) {
        struct fm_jmx_call *call = &d->list.calls[at];
        if (d->alone && d->n_items > 0)
            break;
        if (call->code == FM_EAGAIN && fm_jolokia_sendable(d, call) && fm_jolokia_goes_now(d, call))
            put_call(d, at);
    }
    d->sent.high = at;
    if (at < high)
        d->ranges[d->n_ranges++] = (struct fm_jolokia_range){at, high};
}

static enum fm_code post(struct fm_jolokia *d, struct fm_err *err)
{
    static const char *const headers[] = {"Content-Type: application/json",
                                          "Accept: application/json"};
    int64_t left = d->list.deadline_ms - fm_clock_ms();
    if (left <= 0)
        return fm_err_set(err, FM_ETIMEOUT, "Jolokia at %s did not answer everything in time",
                          d->shown);
    if (d->alone) { /* what is left for the last one ends before the list does */
        int64_t step = fm_jolokia_step_ms(d);
        left = left - step / 4 < step ? left - step / 4 : step;
    }
    fm_buf_putc(&d->body, ']');
    FM_TRY(fm_buf_code(&d->body, err));
    const struct fm_http_request request = {.method = "POST",
                                            .url = fm_buf_str(&d->url),
                                            .headers = headers,
                                            .n_headers = 2,
                                            .body = d->body.data,
                                            .body_len = d->body.len,
                                            .username = d->username,
                                            .password = d->password,
                                            .tls = &d->tls,
                                            .proxy = &d->proxy,
                                            .connect_timeout_ms = (unsigned)left,
                                            .timeout_ms = (unsigned)left,
                                            .max_answer = d->max_answer};
    d->cost.round_trips++;
    d->cost.bytes_out += d->body.len;
    return fm_client_start(d->client, &request, fm_jolokia_on_answer, d, &d->call, err);
}

enum fm_code fm_jolokia_advance(struct fm_jolokia *d, struct fm_err *err)
{
    enum fm_code code = FM_OK;
    fm_buf_reset(&d->body);
    d->n_items = 0;
    if (d->target.url != NULL && !d->target_checked) {
        d->target_name[0] = '\0';
        begin_item(d, ITEM_TARGET_NAME, 0);
        fm_jolokia_put_call(&d->body, &fm_jolokia_runtime_name, &d->target);
        begin_item(d, ITEM_OWN_NAME, 0);
        fm_jolokia_put_call(&d->body, &fm_jolokia_runtime_name, NULL);
    } else if (d->careful ? !d->lives : d->list.n == 0 && d->splits++ == 0) {
        begin_item(d, ITEM_VERSION, 0); /* asks nothing, but shows that the agent answers */
        fm_jolokia_put_version(&d->body);
    } else if (!fm_jolokia_time_is_up(d)) {
        do {
            while (d->n_ranges > 0 && d->n_items == 0)
                put_range(d);
        } while (d->n_items == 0 && fm_jolokia_go_alone(d));
    }
    if (d->n_items == 0)
        return FM_OK;
    code = post(d, err);
    return code == FM_OK ? FM_EAGAIN : code;
}
