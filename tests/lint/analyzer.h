/* tests/lint/analyzer.h - what clang's analyzer, which sees one file at a time, must be told.
 *
 * Put in front of each file by lint.sh, for clang-tidy only. The functions that make an error
 * return the code they are given, never FM_OK: without that it follows paths on which a failure was
 * reported as success. base/err.c, which defines them, goes without it. */
#ifndef FM_LINT_ANALYZER_H
#define FM_LINT_ANALYZER_H

#include "firstmile/err.h"

#define fm_err_set(err, code, ...)                                                                 \
    __extension__({                                                                                \
        enum fm_code fm_lint_code_ = (code);                                                       \
        (void)fm_err_set(err, fm_lint_code_, __VA_ARGS__);                                         \
        fm_lint_code_;                                                                             \
    })
#define fm_err_nomem(err) ((void)fm_err_nomem(err), FM_ENOMEM)
#define fm_err_sys(...) ((void)fm_err_sys(__VA_ARGS__), FM_ESYS)

#endif
