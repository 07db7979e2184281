/* What the certificate of a peer says, from the bytes of the handshake. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "net/client_priv.h"

static unsigned char message[4096];

/* A message of tests/fuzz/corpus/met. */
static size_t load(const char *name)
{
    char path[100];
    (void)snprintf(path, sizeof path, "tests/fuzz/corpus/met/%s", name);
    FILE *f = fopen(path, "rb");
    cr_assert(f != NULL, "%s", path);
    size_t n = fread(message, 1, sizeof message, f);
    (void)fclose(f);
    return n;
}

Test(met, reads_the_first_certificate_of_both_versions)
{
    static const char *const names[] = {"tls12", "tls13"};
    for (size_t i = 0; i < 2; i++) {
        struct fm_net_met met = {0};
        char text[200];
        cr_assert(fm_net_met_read(&met, message, load(names[i])), "%s", names[i]);
        (void)fm_net_met_text(&met, 199, text, sizeof text);
        /* The order of a name's parts is the library's. */
        cr_expect(strstr(text, "CN=server") != NULL && strstr(text, "O=Böse\\, GmbH") != NULL, "%s",
                  text);
        cr_expect(strstr(text, ", issued by CN=Corp TLS Inspection CA, 2025-01-02 to 2035-01-02)"),
                  "%s", text);
    }
}

Test(met, nothing_is_read_of_a_message_that_is_cut_or_changed_in_length)
{
    size_t n = load("tls13");
    struct fm_net_met met = {0};
    for (size_t len = 0; len < n; len++)
        cr_expect_not(fm_net_met_read(&met, message, len), "%zu", len);
    for (size_t at = 0; at < 11; at++) { /* type, lengths */
        message[at]++;
        cr_expect_not(fm_net_met_read(&met, message, n), "%zu", at);
        message[at]--;
    }
    cr_expect_not(met.seen);
    cr_expect(fm_net_met_read(&met, message, n));
}

Test(met, long_names_are_cut_and_the_issuer_last)
{
    struct fm_net_met met = {.seen = true, .from = "2025-01-02", .until = "2035-01-02"};
    memset(met.subject, 's', sizeof met.subject - 1);
    for (size_t i = 0; i + 2 < sizeof met.issuer; i += 2)
        memcpy(met.issuer + i, "ö", 2);
    char text[300];
    for (size_t width = 0; width < 180; width++) {
        size_t len = strlen(fm_net_met_text(&met, width, text, sizeof text));
        cr_expect_leq(len, width, "%zu in %zu", len, width);
        cr_expect(width < 46 || strstr(text, "issued by ööööö") != NULL, "%zu: %s", width, text);
        cr_expect(width < 80 || strstr(text, "to 2035-01-02)") != NULL, "%zu: %s", width, text);
    }
    met.seen = false;
    cr_expect_str_empty(fm_net_met_text(&met, 80, text, sizeof text));
    cr_expect_str_empty(fm_net_met_text(NULL, 80, text, sizeof text));
}
