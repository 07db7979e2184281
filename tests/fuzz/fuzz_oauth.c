/* Any bytes as a token server's answer: a token has no blank and no control character, and no
 * sentence holds one of either kind. The first byte chooses the status. */
#include <stdlib.h>
#include <string.h>

#include "rest/oauth_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const long statuses[] = {200, 200, 400, 401, 302, 429, 500};
    if (size < 1)
        return 0;
    char *body = calloc(size, 1);
    if (body == NULL)
        return 0;
    memcpy(body, data + 1, size - 1);
    const struct fm_http_answer http = {
        .status = statuses[data[0] % 7], .body = body, .body_len = size - 1};
    struct fm_oauth_token token;
    if (fm_oauth_read(&token, &http, NULL) == FM_OK) {
        for (size_t i = 0; i < token.text.len; i++)
            if ((unsigned char)token.text.data[i] <= 0x20)
                abort();
        for (const char *p = token.what; *p != '\0'; p++)
            if ((unsigned char)*p < 0x20)
                abort();
        if (token.got != (token.text.len > 0) || (token.got && http.status != 200))
            abort();
        fm_oauth_token_clear(&token);
    }
    free(body);
    return 0;
}
