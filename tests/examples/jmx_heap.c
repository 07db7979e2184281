/* Prints how much of the heap a JVM uses:   jmx_heap HOST:PORT [USER PASSWORD]
 *
 *   cc -Iinclude jmx_heap.c libfirstmile.a $(pkg-config --libs libcurl) ... -o jmx_heap */
#include <stdio.h>
#include <stdlib.h>

#include "firstmile/jmx.h"

static const char memory[] = "java.lang:type=Memory";

int main(int argc, char **argv)
{
    struct fm_err err = {0};
    struct fm_jmx_session *session = NULL;
    char *used = NULL, *max = NULL;
    if (argc != 2 && argc != 4) {
        fprintf(stderr, "usage: jmx_heap HOST:PORT [USER PASSWORD]\n");
        return 2;
    }
    const struct fm_jmx_session_opts opts = {.url = argv[1],
                                             .username = argc == 4 ? argv[2] : NULL,
                                             .password = argc == 4 ? argv[3] : NULL,
                                             .timeout_ms = 5000};
    enum fm_code code = fm_jmx_open(&session, &opts, &err);
    if (code == FM_OK)
        code = fm_jmx_get(&used, session, memory, "HeapMemoryUsage/used", &err);
    if (code == FM_OK)
        code = fm_jmx_get(&max, session, memory, "HeapMemoryUsage/max", &err);
    if (code == FM_OK)
        printf("%.1f MiB of %.1f MiB\n", strtod(used, NULL) / 1048576, strtod(max, NULL) / 1048576);
    else
        fprintf(stderr, "%s\n", fm_err_text(&err));
    free(used);
    free(max);
    fm_jmx_close(session);
    return code == FM_OK ? 0 : 1;
}
