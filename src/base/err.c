#include "firstmile/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

enum fm_err_class fm_code_class(enum fm_code code)
{
#define FM_CASE(code, class, text)                                                                 \
    case code:                                                                                     \
        return class;
    switch (code) {
        FM_CODE_LIST(FM_CASE)
    }
#undef FM_CASE
    return FM_CLASS_BUG;
}

const char *fm_code_name(enum fm_code code)
{
#define FM_CASE(code, class, text)                                                                 \
    case code:                                                                                     \
        return #code;
    switch (code) {
        FM_CODE_LIST(FM_CASE)
    }
#undef FM_CASE
    return "FM_E?";
}

const char *fm_code_text(enum fm_code code)
{
#define FM_CASE(code, class, text)                                                                 \
    case code:                                                                                     \
        return text;
    switch (code) {
        FM_CODE_LIST(FM_CASE)
    }
#undef FM_CASE
    return "unknown error";
}

void fm_err_clear(struct fm_err *err)
{
    if (err == NULL)
        return;
    err->code = FM_OK;
    err->sys = 0;
    err->text[0] = '\0';
}

/* One event is one line: a peer's text must not forge log lines or terminal escapes. */
static void make_printable(char *text)
{
    fm_utf8_cut(text);
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++)
        if (*p < 0x20 || *p == 0x7f)
            *p = ' ';
}

static void write_text(struct fm_err *err, const char *fmt, va_list args)
{
    /* Formatted aside, since an argument may be err->text itself. */
    char text[sizeof err->text];
    (void)vsnprintf(text, sizeof text, fmt, args);
    make_printable(text);
    memcpy(err->text, text, sizeof text);
}

enum fm_code fm_err_set(struct fm_err *err, enum fm_code code, const char *fmt, ...)
{
    if (err == NULL)
        return code;
    va_list args;
    va_start(args, fmt);
    write_text(err, fmt, args);
    va_end(args);
    err->code = code;
    err->sys = 0;
    return code;
}

enum fm_code fm_err_sys(struct fm_err *err, int sys, const char *fmt, ...)
{
    if (err == NULL)
        return FM_ESYS;
    va_list args;
    va_start(args, fmt);
    write_text(err, fmt, args);
    va_end(args);
    err->code = FM_ESYS;
    err->sys = sys;
    char reason[96];
    size_t len = strlen(err->text);
    (void)snprintf(err->text + len, sizeof err->text - len, ": %s",
                   strerror_r(sys, reason, sizeof reason));
    return FM_ESYS;
}

enum fm_code fm_err_nomem(struct fm_err *err)
{
    return fm_err_set(err, FM_ENOMEM, "out of memory");
}

enum fm_code fm_err_context(struct fm_err *err, const char *fmt, ...)
{
    if (err == NULL)
        return FM_EBUG;
    char text[2 * sizeof err->text];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof err->text, fmt, args);
    va_end(args);
    if (len < 0)
        return err->code;
    size_t used = (size_t)len < sizeof err->text ? (size_t)len : sizeof err->text - 1;
    (void)snprintf(text + used, sizeof text - used, ": %s", fm_err_text(err));
    memcpy(err->text, text, sizeof err->text);
    err->text[sizeof err->text - 1] = '\0';
    make_printable(err->text);
    return err->code;
}

const char *fm_err_text(const struct fm_err *err)
{
    if (err == NULL)
        return "unknown error";
    return err->text[0] != '\0' ? err->text : fm_code_text(err->code);
}
