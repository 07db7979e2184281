/* What a client sends to the sandbox as a produce request, and a fault script. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/faults_priv.h"
#include "sandbox/v2_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = calloc(1, size + 1); /* terminated for the script */
    assert(text != NULL);
    memcpy(text, data, size);
    struct fm_faults *faults = NULL;
    if (fm_faults_parse(&faults, text, NULL) != FM_OK)
        faults = NULL;
    for (int binary = 0; binary < 2; binary++) {
        struct fm_v2 v2;
        struct fm_fault fault;
        fm_v2_init(&v2);
        fm_fault_init(&fault);
        v2.binary = binary == 1;
        v2.what = FM_V2_PRODUCE;
        bool parsed = fm_v2_parse_body(&v2, text, size, -1);
        fm_faults_apply(faults, false, 1, text, size, parsed ? &v2.job : NULL, &fault);
        if (parsed)
            fm_v2_render(&v2);
        assert(v2.reply.status >= 200 && v2.reply.body.len > 0);
        fm_fault_clear(&fault);
        fm_v2_clear(&v2);
    }
    fm_faults_free(faults);
    free(text);
    return 0;
}
