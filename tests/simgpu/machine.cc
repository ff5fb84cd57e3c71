// How much of each device's memory is taken, by all processes of the machine. With SIMGPU_STATE a
// table in a file that is mapped by all; a process's row is its own while it holds a lock on the
// row's byte, which the kernel takes from it when it dies. Without, it is one process's.
#include "runtime.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace simgpu
{
static const int max_processes = 64;

struct Row {
    int64_t pid;
    uint64_t used[max_devices], peak[max_devices];
};
struct Table {
    Row rows[max_processes];
};

static Table *table;
static int file = -1;
static Row *own;

// Locks bytes of the file; those of the table's rows say who lives, the one behind them guards
// changes. POSIX locks: they belong to the process and are not inherited.
static bool lock_bytes(off_t start, short type, bool wait)
{
    struct flock l = {};
    l.l_type = type;
    l.l_whence = SEEK_SET;
    l.l_start = start;
    l.l_len = 1;
    int rc;
    do
        rc = fcntl(file, wait ? F_SETLKW : F_SETLK, &l);
    while (rc != 0 && errno == EINTR);
    return rc == 0;
}

static bool lives(int row)
{
    struct flock l = {};
    l.l_type = F_WRLCK;
    l.l_whence = SEEK_SET;
    l.l_start = row;
    l.l_len = 1;
    return &table->rows[row] == own || fcntl(file, F_GETLK, &l) != 0 || l.l_type != F_UNLCK;
}

static void open_table()
{
    const char *path = settings().state.c_str();
    if (!*path) {
        table = new Table();
        own = &table->rows[0];
        own->pid = getpid();
        return;
    }
    file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, sizeof(Table)) != 0)
        die("SIMGPU_STATE=%s: %s", path, strerror(errno));
    void *p = mmap(nullptr, sizeof(Table), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (p == MAP_FAILED)
        die("SIMGPU_STATE=%s: %s", path, strerror(errno));
    table = static_cast<Table *>(p);
    lock_bytes(max_processes, F_WRLCK, true);
    for (int r = 0; r < max_processes && !own; r++)
        if (lock_bytes(r, F_WRLCK, false)) {
            own = &table->rows[r];
            memset(static_cast<void *>(own), 0, sizeof *own);
            own->pid = getpid();
        }
    lock_bytes(max_processes, F_UNLCK, true);
    if (!own)
        die("SIMGPU_STATE=%s: more than %d processes use it", path, max_processes);
}

namespace
{
struct Entered {
    Entered()
    {
        if (!table)
            open_table();
        if (file >= 0)
            lock_bytes(max_processes, F_WRLCK, true);
    }
    ~Entered()
    {
        if (file >= 0)
            lock_bytes(max_processes, F_UNLCK, true);
    }
};
} // namespace

static size_t free_now(int device)
{
    uint64_t used = 0;
    for (int r = 0; r < max_processes; r++)
        if (table->rows[r].pid && (file < 0 || lives(r)))
            used += table->rows[r].used[device];
    return used < settings().memory ? settings().memory - used : 0;
}

bool machine_take(int device, size_t bytes)
{
    const Entered entered;
    if (bytes > free_now(device))
        return false;
    own->used[device] += bytes;
    if (own->used[device] > own->peak[device])
        own->peak[device] = own->used[device];
    return true;
}

void machine_give(int device, size_t bytes)
{
    const Entered entered;
    own->used[device] -= bytes;
}

size_t machine_free(int device)
{
    const Entered entered;
    return free_now(device);
}

size_t machine_used(int device)
{
    const Entered entered;
    return own->used[device];
}

size_t machine_peak(int device)
{
    const Entered entered;
    return own->peak[device];
}

void machine_reset_peak(int device)
{
    const Entered entered;
    own->peak[device] = own->used[device];
}
} // namespace simgpu
