#include "sandbox/faults_priv.h"

#include <stdlib.h>
#include <string.h>

enum kind {
    DELAY,
    STATUS,
    RETRY_AFTER,
    BODY,
    TYPE,
    HTML,
    EMPTY,
    RESET,
    HANG,
    CUT,
    SHORT,
    DRIP,
    CHUNKED,
    WRONG_LENGTH,
    CLOSE,
    STORE,
    LOSE,
    TAKE,
    ENTRIES,
    RECORD
};

enum arg { NONE, NUMBER, TIME, TEXT, REFUSAL };

static const struct {
    const char *name;
    enum kind kind;
    enum arg arg;
} clauses[] = {
    {"delay", DELAY, TIME},
    {"status", STATUS, NUMBER},
    {"retry-after", RETRY_AFTER, TEXT},
    {"body", BODY, TEXT},
    {"type", TYPE, TEXT},
    {"html", HTML, NONE},
    {"empty", EMPTY, NONE},
    {"reset", RESET, NONE},
    {"hang", HANG, NONE},
    {"cut", CUT, NUMBER},
    {"short", SHORT, NUMBER},
    {"drip", DRIP, TIME},
    {"chunked", CHUNKED, NONE},
    {"wrong-length", WRONG_LENGTH, NONE},
    {"close", CLOSE, NONE},
    {"store", STORE, NONE},
    {"lose", LOSE, NONE},
    {"take", TAKE, NUMBER},
    {"entries", ENTRIES, NUMBER},
    {"record", RECORD, REFUSAL},
};

struct range {
    uint64_t from, to;
};

struct clause {
    enum kind kind;
    uint64_t number;
    char *text; /* owned, with its length: it may hold any byte */
    size_t text_len;
    struct range records; /* RECORD */
    char *match; /* RECORD if; owned */
    size_t match_len;
};

struct rule {
    bool probe;
    struct range which;
    char *match; /* owned; NULL: any body */
    size_t match_len;
    struct clause *clauses;
    size_t n;
};

struct fm_faults {
    struct rule *rules;
    size_t n;
};

/* --- reading the script --- */

struct reader {
    const char *at; /* in the line */
    const char *end;
    unsigned line;
};

static void skip_blank(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\r'))
        r->at++;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool put_escaped(struct reader *r, struct fm_buf *out)
{
    static const char from[] = "\"\\nrt", to[] = "\"\\\n\r\t";
    if (r->at >= r->end)
        return false;
    char c = *r->at++;
    const char *known = c == '\0' ? NULL : strchr(from, c);
    if (known != NULL) {
        fm_buf_putc(out, to[known - from]);
        return true;
    }
    if (c != 'x' || r->end - r->at < 2 || hex_digit(r->at[0]) < 0 || hex_digit(r->at[1]) < 0)
        return false;
    fm_buf_putc(out, (char)(hex_digit(r->at[0]) << 4 | hex_digit(r->at[1])));
    r->at += 2;
    return true;
}

/* A word, or text in quotes. @return false at the end of the line or on a bad quote */
static bool next_word(struct reader *r, char **out, size_t *len)
{
    struct fm_buf word;
    fm_buf_init(&word, 0);
    skip_blank(r);
    bool ok = r->at < r->end;
    if (ok && *r->at == '"') {
        r->at++;
        while (ok && r->at < r->end && *r->at != '"') {
            char c = *r->at++;
            if (c == '\\')
                ok = put_escaped(r, &word);
            else
                fm_buf_putc(&word, c);
        }
        ok = ok && r->at < r->end;
        r->at++;
    } else {
        while (ok && r->at < r->end && *r->at != ' ' && *r->at != '\t' && *r->at != '\r')
            fm_buf_putc(&word, *r->at++);
    }
    *len = word.len;
    *out = ok ? fm_buf_take(&word) : NULL;
    fm_buf_clear(&word);
    return *out != NULL;
}

static bool parse_digits(const char **at, uint64_t *out)
{
    if (**at < '0' || **at > '9')
        return false;
    char *end;
    *out = strtoull(*at, &end, 10);
    *at = end;
    return true;
}

static bool parse_range(const char *text, struct range *out)
{
    if (strcmp(text, "*") == 0) {
        *out = (struct range){1, UINT64_MAX};
        return true;
    }
    if (!parse_digits(&text, &out->from))
        return false;
    out->to = out->from;
    if (*text == '+') {
        out->to = UINT64_MAX;
        text++;
    } else if (*text == '-') {
        text++;
        if (!parse_digits(&text, &out->to))
            return false;
    }
    return *text == '\0' && out->from >= 1 && out->to >= out->from;
}

static bool parse_time(const char *text, uint64_t *ms)
{
    if (!parse_digits(&text, ms))
        return false;
    if (strcmp(text, "s") == 0)
        *ms *= 1000;
    else if (strcmp(text, "m") == 0)
        *ms *= 60000;
    else if (strcmp(text, "ms") != 0)
        return false;
    return *ms <= 86400000;
}

/* record WHICH|if "TEXT" error CODE "TEXT" */
static bool parse_refusal(struct reader *r, struct clause *c)
{
    char *word = NULL;
    size_t len;
    bool ok = next_word(r, &word, &len);
    if (ok && strcmp(word, "if") == 0) {
        c->records = (struct range){1, UINT64_MAX};
        ok = next_word(r, &c->match, &c->match_len);
    } else {
        ok = ok && parse_range(word, &c->records);
    }
    free(word);
    word = NULL;
    ok = ok && next_word(r, &word, &len) && strcmp(word, "error") == 0;
    free(word);
    word = NULL;
    const char *digits = "";
    if (ok && next_word(r, &word, &len))
        digits = word;
    ok = ok && parse_digits(&digits, &c->number) && *digits == '\0' && c->number > 0 &&
         c->number < 1000000 && next_word(r, &c->text, &c->text_len);
    free(word);
    return ok;
}

static bool parse_arg(struct reader *r, struct clause *c, enum arg arg)
{
    char *word = NULL;
    size_t len;
    bool ok = true;
    const char *digits;
    switch (arg) {
    case NONE:
        return true;
    case TEXT:
        return next_word(r, &c->text, &c->text_len);
    case REFUSAL:
        return parse_refusal(r, c);
    case NUMBER:
        ok = next_word(r, &word, &len);
        digits = ok ? word : "";
        ok = parse_digits(&digits, &c->number) && *digits == '\0';
        break;
    case TIME:
        ok = next_word(r, &word, &len) && parse_time(word, &c->number);
        break;
    }
    free(word);
    return ok;
}

static enum fm_code parse_clause(struct reader *r, struct rule *rule, struct fm_err *err)
{
    struct clause *grown = realloc(rule->clauses, (rule->n + 1) * sizeof *grown);
    if (grown == NULL)
        return fm_err_nomem(err);
    rule->clauses = grown;
    struct clause *c = &rule->clauses[rule->n++];
    *c = (struct clause){0};
    char *name = NULL;
    size_t len;
    if (!next_word(r, &name, &len))
        return fm_err_set(err, FM_ECONF, "fault script, line %u: a quote is not closed", r->line);
    enum fm_code code = FM_ECONF;
    size_t i = 0, n = sizeof clauses / sizeof *clauses;
    while (i < n && strcmp(name, clauses[i].name) != 0)
        i++;
    if (i == n) {
        code = fm_err_set(err, FM_ECONF, "fault script, line %u: unknown word %s", r->line, name);
    } else {
        c->kind = clauses[i].kind;
        if (parse_arg(r, c, clauses[i].arg))
            code = FM_OK;
        else
            code = fm_err_set(err, FM_ECONF, "fault script, line %u: %s needs another argument",
                              r->line, name);
    }
    free(name);
    return code;
}

static enum fm_code parse_head(struct reader *r, struct rule *rule, struct fm_err *err)
{
    char *word = NULL;
    size_t len;
    bool ok = next_word(r, &word, &len);
    if (ok && strcmp(word, "probe") == 0) {
        rule->probe = true;
        free(word);
        ok = next_word(r, &word, &len);
    }
    ok = ok && parse_range(word, &rule->which);
    free(word);
    if (!ok)
        return fm_err_set(err, FM_ECONF,
                          "fault script, line %u: must begin with a number, a range or *", r->line);
    struct reader ahead = *r;
    if (next_word(&ahead, &word, &len)) {
        if (strcmp(word, "if") == 0) {
            *r = ahead;
            ok = next_word(r, &rule->match, &rule->match_len);
        }
        free(word);
    }
    return ok ? FM_OK
              : fm_err_set(err, FM_ECONF, "fault script, line %u: if needs a text", r->line);
}

static enum fm_code parse_rule(struct fm_faults *faults, struct reader *r, struct fm_err *err)
{
    struct rule *grown = realloc(faults->rules, (faults->n + 1) * sizeof *grown);
    if (grown == NULL)
        return fm_err_nomem(err);
    faults->rules = grown;
    struct rule *rule = &faults->rules[faults->n++];
    *rule = (struct rule){0};
    FM_TRY(parse_head(r, rule, err));
    for (skip_blank(r); r->at < r->end; skip_blank(r))
        FM_TRY(parse_clause(r, rule, err));
    return rule->n > 0 ? FM_OK
                       : fm_err_set(err, FM_ECONF, "fault script, line %u: says nothing", r->line);
}

enum fm_code fm_faults_parse(struct fm_faults **out, const char *script, struct fm_err *err)
{
    struct fm_faults *faults = calloc(1, sizeof *faults);
    if (faults == NULL)
        return fm_err_nomem(err);
    struct reader r = {.line = 0};
    for (const char *line = script; *line != '\0';) {
        const char *end = strchrnul(line, '\n');
        r = (struct reader){.at = line, .end = end, .line = r.line + 1};
        skip_blank(&r);
        if (r.at < r.end && *r.at != '#') {
            enum fm_code code = parse_rule(faults, &r, err);
            if (code != FM_OK) {
                fm_faults_free(faults);
                return code;
            }
        }
        line = *end == '\n' ? end + 1 : end;
    }
    *out = faults;
    return FM_OK;
}

void fm_faults_free(struct fm_faults *faults)
{
    if (faults == NULL)
        return;
    for (size_t i = 0; i < faults->n; i++) {
        struct rule *rule = &faults->rules[i];
        for (size_t k = 0; k < rule->n; k++) {
            free(rule->clauses[k].text);
            free(rule->clauses[k].match);
        }
        free(rule->clauses);
        free(rule->match);
    }
    free(faults->rules);
    free(faults);
}

/* --- applying it --- */

void fm_fault_init(struct fm_fault *fault)
{
    *fault = (struct fm_fault){
        .take = SIZE_MAX, .entries = SIZE_MAX, .cut_at = SIZE_MAX, .short_at = SIZE_MAX};
    fm_buf_init(&fault->body, 0);
}

void fm_fault_clear(struct fm_fault *fault)
{
    fm_buf_clear(&fault->body);
}

static void copy_text(char *out, size_t size, const struct clause *c)
{
    size_t len = c->text_len < size - 1 ? c->text_len : size - 1;
    memcpy(out, c->text, len);
    out[len] = '\0';
}

static void set_body(struct fm_fault *fault, const char *text, size_t len)
{
    fm_buf_reset(&fault->body);
    fm_buf_put(&fault->body, text, len);
    fault->has_body = true;
}

static void set_type(struct fm_fault *fault, const char *type)
{
    size_t len = strlen(type);
    memcpy(fault->type, type, len + 1);
    fault->has_type = true;
}

static void refuse_records(const struct clause *c, struct fm_tlog_job *job)
{
    for (size_t i = 0; job != NULL && i < job->n; i++) {
        const struct fm_tlog_record *r = &job->records[i];
        if (i + 1 < c->records.from || i + 1 > c->records.to ||
            (c->match != NULL &&
             (r->value_len == 0 || memmem(r->value, r->value_len, c->match, c->match_len) == NULL)))
            continue;
        fm_tlog_refuse(&job->verdicts[i], (int)c->number, "%s", c->text);
    }
}

static void apply_answer(const struct clause *c, struct fm_fault *fault)
{
    static const char page[] = "<html><head><title>Sign in</title></head><body>Please sign in to "
                               "use this network.</body></html>\n";
    switch (c->kind) {
    case RETRY_AFTER:
        copy_text(fault->retry_after, sizeof fault->retry_after, c);
        break;
    case BODY:
        set_body(fault, c->text, c->text_len);
        break;
    case TYPE:
        copy_text(fault->type, sizeof fault->type, c);
        fault->has_type = true;
        break;
    case HTML:
        set_body(fault, page, sizeof page - 1);
        set_type(fault, "text/html");
        fault->unstored = true;
        break;
    case EMPTY:
        set_body(fault, "", 0);
        break;
    case CUT:
        fault->cut_at = (size_t)c->number;
        break;
    case SHORT:
        fault->short_at = (size_t)c->number;
        break;
    case DRIP:
        fault->drip_ms = (unsigned)c->number;
        break;
    case CHUNKED:
        fault->chunked = true;
        break;
    case WRONG_LENGTH:
        fault->wrong_length = true;
        break;
    case CLOSE:
        fault->close = true;
        break;
    default:
        break;
    }
}

static void apply_clause(const struct clause *c, struct fm_fault *fault, struct fm_tlog_job *job)
{
    switch (c->kind) {
    case DELAY:
        fault->delay_ms = (int64_t)c->number;
        break;
    case STATUS:
        fault->status = (unsigned)c->number;
        fault->unstored = true;
        break;
    case RESET:
        fault->reset = fault->unstored = true;
        break;
    case HANG:
        fault->hang = fault->unstored = true;
        break;
    case STORE:
        fault->unstored = fault->silent = false;
        break;
    case LOSE:
        fault->unstored = fault->silent = true;
        break;
    case TAKE:
        fault->take = (size_t)c->number;
        break;
    case ENTRIES:
        fault->entries = (size_t)c->number;
        break;
    case RECORD:
        refuse_records(c, job);
        break;
    default:
        apply_answer(c, fault);
        break;
    }
}

void fm_faults_apply(const struct fm_faults *faults, bool probe, uint64_t n, const char *body,
                     size_t body_len, struct fm_tlog_job *job, struct fm_fault *fault)
{
    for (size_t i = 0; faults != NULL && i < faults->n; i++) {
        const struct rule *rule = &faults->rules[i];
        if (rule->probe != probe || n < rule->which.from || n > rule->which.to ||
            (rule->match != NULL &&
             (body_len == 0 || memmem(body, body_len, rule->match, rule->match_len) == NULL)))
            continue;
        fault->any = true;
        for (size_t k = 0; k < rule->n; k++)
            apply_clause(&rule->clauses[k], fault, job);
    }
}
