/* Any bytes as a message of a TLS handshake: what is read of a certificate stays in its bounds and
 * is valid, terminated text. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "net/client_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_net_met met = {0};
    char text[240];
    if (!fm_net_met_read(&met, data, size))
        return 0;
    if (!fm_utf8_valid(met.subject, strlen(met.subject)) || met.issuer[0] == '\0')
        abort();
    (void)fm_net_met_text(&met, size % 200, text, sizeof text);
    return 0;
}
