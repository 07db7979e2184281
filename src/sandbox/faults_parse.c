/* Reads a fault script: lines to rules, rules to clauses. */
#include <stdlib.h>
#include <string.h>

#include "sandbox/faults_rule_priv.h"

enum arg { NONE, NUMBER, TIME, TEXT, NUMBER_TEXT, REFUSAL };

static const struct {
    const char *name;
    enum fm_fault_kind kind;
    enum arg arg;
} clauses[] = {
    {"delay", FM_FAULT_DELAY, TIME},
    {"status", FM_FAULT_STATUS, NUMBER},
    {"retry-after", FM_FAULT_RETRY_AFTER, TEXT},
    {"body", FM_FAULT_BODY, TEXT},
    {"type", FM_FAULT_TYPE, TEXT},
    {"html", FM_FAULT_HTML, NONE},
    {"empty", FM_FAULT_EMPTY, NONE},
    {"reset", FM_FAULT_RESET, NONE},
    {"hang", FM_FAULT_HANG, NONE},
    {"cut", FM_FAULT_CUT, NUMBER},
    {"short", FM_FAULT_SHORT, NUMBER},
    {"drip", FM_FAULT_DRIP, TIME},
    {"chunked", FM_FAULT_CHUNKED, NONE},
    {"wrong-length", FM_FAULT_WRONG_LENGTH, NONE},
    {"close", FM_FAULT_CLOSE, NONE},
    {"store", FM_FAULT_STORE, NONE},
    {"lose", FM_FAULT_LOSE, NONE},
    {"take", FM_FAULT_TAKE, NUMBER},
    {"entries", FM_FAULT_ENTRIES, NUMBER},
    {"both", FM_FAULT_BOTH, NUMBER},
    {"rename", FM_FAULT_RENAME, NUMBER_TEXT},
    {"record", FM_FAULT_RECORD, REFUSAL},
};

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

static bool parse_range(const char *text, struct fm_fault_range *out)
{
    if (strcmp(text, "*") == 0) {
        *out = (struct fm_fault_range){1, UINT64_MAX};
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
static bool parse_refusal(struct reader *r, struct fm_fault_clause *c)
{
    char *word = NULL;
    size_t len;
    bool ok = next_word(r, &word, &len);
    if (ok && strcmp(word, "if") == 0) {
        c->records = (struct fm_fault_range){1, UINT64_MAX};
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

static bool parse_arg(struct reader *r, struct fm_fault_clause *c, enum arg arg)
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
    case NUMBER_TEXT:
        ok = next_word(r, &word, &len);
        digits = ok ? word : "";
        ok = parse_digits(&digits, &c->number) && *digits == '\0' &&
             (arg == NUMBER || next_word(r, &c->text, &c->text_len));
        break;
    case TIME:
        ok = next_word(r, &word, &len) && parse_time(word, &c->number);
        break;
    }
    free(word);
    return ok;
}

static enum fm_code parse_clause(struct reader *r, struct fm_fault_rule *rule, struct fm_err *err)
{
    struct fm_fault_clause *grown = realloc(rule->clauses, (rule->n + 1) * sizeof *grown);
    if (grown == NULL)
        return fm_err_nomem(err);
    rule->clauses = grown;
    struct fm_fault_clause *c = &rule->clauses[rule->n++];
    *c = (struct fm_fault_clause){0};
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

static enum fm_code parse_head(struct reader *r, struct fm_fault_rule *rule, struct fm_err *err)
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
    struct fm_fault_rule *grown = realloc(faults->rules, (faults->n + 1) * sizeof *grown);
    if (grown == NULL)
        return fm_err_nomem(err);
    faults->rules = grown;
    struct fm_fault_rule *rule = &faults->rules[faults->n++];
    *rule = (struct fm_fault_rule){0};
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
