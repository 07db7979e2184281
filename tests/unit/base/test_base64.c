#include <criterion/criterion.h>
#include <string.h>

#include "base/base64.h"

Test(base64, gives_the_vectors_of_rfc_4648)
{
    static const char *const rows[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fm_buf buf;
        fm_buf_init(&buf, 0);
        fm_base64_put(&buf, rows[i][0], strlen(rows[i][0]));
        cr_expect_str_eq(fm_buf_str(&buf), rows[i][1]);
        fm_buf_reset(&buf);
        cr_expect(fm_base64_get(&buf, rows[i][1], strlen(rows[i][1])));
        cr_expect_str_eq(fm_buf_str(&buf), rows[i][0]);
        fm_buf_clear(&buf);
    }
}

Test(base64, brings_every_byte_back)
{
    unsigned char all[256];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (unsigned char)i;
    for (size_t len = 254; len <= 256; len++) {
        struct fm_buf text, back;
        fm_buf_init(&text, 0);
        fm_buf_init(&back, 0);
        fm_base64_put(&text, all, len);
        cr_expect(fm_base64_get(&back, text.data, text.len));
        cr_expect_eq(back.len, len);
        cr_expect_eq(memcmp(back.data, all, len), 0);
        fm_buf_clear(&text);
        fm_buf_clear(&back);
    }
}

Test(base64, refuses_what_is_not_strict)
{
    static const char *const bad[] = {
        "Z",    "Zg",   "Zg=",  "Zg==\n", "Z===", "====",    "Zg==Zg==", "Zh==", /* loose bits */
        "Zm9=", "Zm 8", "Zm-8", "Zm_8",   "=m9v", "Zm9\xff",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct fm_buf buf;
        fm_buf_init(&buf, 0);
        cr_expect_not(fm_base64_get(&buf, bad[i], strlen(bad[i])), "accepted %s", bad[i]);
        fm_buf_clear(&buf);
    }
}
