/* The rate of a model's disk: which file is read, and that reading ends. */
#include "base/clock.h"
#include "checkpoint/read_list.h"
#include "probe/measure.h"
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static void make_file(const char *name, off_t bytes)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    const int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(ftruncate(fd, bytes), 0);
    close(fd);
}

static void begin(void)
{
    snprintf(folder, sizeof folder, "/tmp/sw_disk_XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
}

static void end(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    CU_ASSERT_EQUAL(system(command), 0);
}

static void a_small_file_ends(void)
{
    double rate;
    begin();
    CU_ASSERT_EQUAL(sw_disk_rate(folder, 0, 1, 1, &rate), SW_EINPUT);
    make_file("small", 1000);
    CU_ASSERT_EQUAL(sw_disk_rate(folder, 0, 1, 1, &rate), SW_EINPUT);
    make_file("large", (off_t)(5 * SW_LIST_PIECE + 1234));
    const double start = sw_clock();
    for (int part = 0; part < 3; part++) {
        CU_ASSERT_EQUAL(sw_disk_rate(folder, part, 3, 2000, &rate), SW_OK);
        CU_ASSERT(rate > 0);
    }
    CU_ASSERT(sw_clock() - start < 300); /* on a busy disk, too */
    end();
}

/* Without the end of the file the time ends it. */
static void time_ends_it(void)
{
    double rate;
    begin();
    make_file("large", (off_t)1 << 40);
    const double start = sw_clock();
    CU_ASSERT_EQUAL(sw_disk_rate(folder, 0, 1, 0.05, &rate), SW_OK);
    CU_ASSERT(rate > 0);
    CU_ASSERT_EQUAL(sw_disk_rate(folder, 0, 1, 1, &rate), SW_OK);
    CU_ASSERT(rate > 0);
    CU_ASSERT(sw_clock() - start < 200); /* all of it takes longer */
    end();
}

SW_UNIT_TESTS({"a small file ends", a_small_file_ends}, {"time ends it", time_ends_it})
