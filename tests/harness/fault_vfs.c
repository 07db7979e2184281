#include "fault_vfs.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* Test code: the plan is the process's, as the file system is. */
static _Atomic unsigned calls, reads, opens;
static _Atomic unsigned plan_kind, plan_at, plan_times, read_at, read_times;
static _Atomic bool fired;
static sqlite3_vfs shim;
static void (*_Atomic watch_fn)(const struct fault_op *op, void *arg);
static void *_Atomic watch_arg;

struct file {
    sqlite3_file base;
    sqlite3_file *real; /* behind this struct */
    const char *path; /* SQLite keeps it as long as the file is open */
};

/* @return rc, after it was told if it is success */
static int tell(int rc, struct fault_op op)
{
    void (*fn)(const struct fault_op *op, void *arg) = watch_fn;
    if (rc == SQLITE_OK && fn != NULL)
        fn(&op, watch_arg);
    return rc;
}

static const char *path_of(sqlite3_file *f)
{
    const char *path = ((struct file *)(void *)f)->path;
    return path != NULL ? path : "";
}

static sqlite3_file *real_of(sqlite3_file *f)
{
    return ((struct file *)(void *)f)->real;
}

static enum fault_kind next_fault(void)
{
    unsigned n = atomic_fetch_add(&calls, 1) + 1, at = plan_at;
    if (plan_kind == FAULT_NONE || n < at || n - at >= plan_times)
        return FAULT_NONE;
    if (plan_kind != FAULT_FULL)
        fired = true;
    return (enum fault_kind)plan_kind;
}

static int x_close(sqlite3_file *f)
{
    return real_of(f)->pMethods != NULL ? real_of(f)->pMethods->xClose(real_of(f)) : SQLITE_OK;
}

static int x_read(sqlite3_file *f, void *buf, int n, sqlite3_int64 at)
{
    unsigned k = atomic_fetch_add(&reads, 1) + 1;
    if (read_at != 0 && k >= read_at && k - read_at < read_times) {
        fired = true;
        return SQLITE_IOERR_READ;
    }
    return real_of(f)->pMethods->xRead(real_of(f), buf, n, at);
}

static int x_write(sqlite3_file *f, const void *buf, int n, sqlite3_int64 at)
{
    sqlite3_file *r = real_of(f);
    enum fault_kind kind = next_fault();
    if (kind == FAULT_EXIT_BEFORE)
        _exit(9);
    if (kind == FAULT_EXIT_HALF) {
        (void)r->pMethods->xWrite(r, buf, n / 2, at);
        _exit(9);
    }
    if (kind == FAULT_FULL) {
        fired = true;
        return SQLITE_FULL;
    }
    if (kind == FAULT_EIO)
        return SQLITE_IOERR_WRITE;
    int rc =
        tell(r->pMethods->xWrite(r, buf, n, at),
             (struct fault_op){
                 .call = FAULT_WRITE, .path = path_of(f), .data = buf, .n = (size_t)n, .at = at});
    if (kind == FAULT_EXIT_AFTER)
        _exit(9);
    return rc;
}

static int x_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    enum fault_kind kind = next_fault();
    if (kind == FAULT_EXIT_BEFORE || kind == FAULT_EXIT_HALF)
        _exit(9);
    if (kind == FAULT_EIO)
        return SQLITE_IOERR_TRUNCATE;
    int rc = tell(real_of(f)->pMethods->xTruncate(real_of(f), size),
                  (struct fault_op){.call = FAULT_TRUNCATE, .path = path_of(f), .at = size});
    if (kind == FAULT_EXIT_AFTER)
        _exit(9);
    return rc;
}

static int x_sync(sqlite3_file *f, int flags)
{
    enum fault_kind kind = next_fault();
    if (kind == FAULT_EXIT_BEFORE || kind == FAULT_EXIT_HALF)
        _exit(9);
    if (kind == FAULT_EIO)
        return SQLITE_IOERR_FSYNC;
    int rc = tell(real_of(f)->pMethods->xSync(real_of(f), flags),
                  (struct fault_op){.call = FAULT_SYNC, .path = path_of(f)});
    if (kind == FAULT_EXIT_AFTER)
        _exit(9);
    return rc;
}

static int x_size(sqlite3_file *f, sqlite3_int64 *out)
{
    return real_of(f)->pMethods->xFileSize(real_of(f), out);
}

static int x_lock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int x_unlock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int x_reserved(sqlite3_file *f, int *out)
{
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}

static int x_control(sqlite3_file *f, int op, void *arg)
{
    return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int x_sector(sqlite3_file *f)
{
    return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int x_device(sqlite3_file *f)
{
    return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int x_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, out);
}

static int x_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
}

static void x_shm_barrier(sqlite3_file *f)
{
    real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int x_shm_unmap(sqlite3_file *f, int delete)
{
    return real_of(f)->pMethods->xShmUnmap(real_of(f), delete);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = x_close,
    .xRead = x_read,
    .xWrite = x_write,
    .xTruncate = x_truncate,
    .xSync = x_sync,
    .xFileSize = x_size,
    .xLock = x_lock,
    .xUnlock = x_unlock,
    .xCheckReservedLock = x_reserved,
    .xFileControl = x_control,
    .xSectorSize = x_sector,
    .xDeviceCharacteristics = x_device,
    .xShmMap = x_shm_map,
    .xShmLock = x_shm_lock,
    .xShmBarrier = x_shm_barrier,
    .xShmUnmap = x_shm_unmap,
};

static sqlite3_vfs *real_vfs(sqlite3_vfs *v)
{
    return v->pAppData;
}

static int x_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
    struct file *file = (struct file *)(void *)f;
    file->real = (sqlite3_file *)(void *)(file + 1);
    file->path = name;
    if ((flags & SQLITE_OPEN_MAIN_DB) != 0)
        opens++;
    int rc = real_vfs(v)->xOpen(real_vfs(v), name, file->real, flags, out);
    file->base.pMethods = file->real->pMethods != NULL ? &methods : NULL;
    return rc;
}

static int x_delete(sqlite3_vfs *v, const char *name, int sync)
{
    enum fault_kind kind = next_fault();
    if (kind == FAULT_EXIT_BEFORE || kind == FAULT_EXIT_HALF)
        _exit(9);
    int rc = tell(real_vfs(v)->xDelete(real_vfs(v), name, sync),
                  (struct fault_op){.call = FAULT_DELETE, .path = name, .synced = sync != 0});
    if (kind == FAULT_EXIT_AFTER)
        _exit(9);
    return rc;
}

void fault_install(void)
{
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);
    if (real == NULL || real == &shim)
        return;
    shim = *real;
    shim.pNext = NULL;
    shim.zName = "fault";
    shim.pAppData = real;
    shim.szOsFile = (int)sizeof(struct file) + real->szOsFile;
    shim.xOpen = x_open;
    shim.xDelete = x_delete;
    (void)sqlite3_vfs_register(&shim, 1);
}

void fault_plan(enum fault_kind kind, unsigned n, unsigned times)
{
    plan_kind = FAULT_NONE;
    calls = 0;
    fired = false;
    plan_at = n;
    plan_times = times;
    plan_kind = kind;
}

void fault_watch(void (*fn)(const struct fault_op *op, void *arg), void *arg)
{
    watch_fn = NULL;
    watch_arg = arg;
    watch_fn = fn;
}

void fault_plan_read(unsigned n, unsigned times)
{
    fired = false;
    reads = 0;
    read_times = times;
    read_at = n;
}

unsigned fault_calls(void)
{
    return calls;
}

bool fault_fired(void)
{
    return fired;
}

unsigned fault_opens(void)
{
    return opens;
}
