/*
 * The files a command reads and writes, each known by its device and inode, or by its folder and
 * name when it is yet to be made: nothing that is read, or written otherwise, is written over.
 */
#ifndef SW_BASE_FILE_SET_H
#define SW_BASE_FILE_SET_H

#include "base/status.h"

#include <stddef.h>

struct sw_file_place;

struct sw_file_set {
    struct sw_file_place *places; /* (n) */
    size_t n, capacity;
};

/*
 * `path` (NULL: none) will be read; `what` is its name in messages ("IN", "--cluster") and is
 * borrowed. A file that cannot be looked at is no failure here: who opens it says so.
 */
enum sw_status sw_file_set_read(struct sw_file_set *set, const char *what, const char *path);
/* … and so will every file in `folder`, wherever links there lead. */
enum sw_status sw_file_set_read_folder(struct sw_file_set *set, const char *what,
                                       const char *folder);
/*
 * `path` (NULL: none) will be written. SW_EUSAGE names both when it is, or would become, a file of
 * the set, and when what is there is a folder, a pipe, a socket or a disk. A file whose folder is
 * not there is left to who opens it.
 */
enum sw_status sw_file_set_write(struct sw_file_set *set, const char *what, const char *path);
void sw_file_set_free(struct sw_file_set *set);

#endif
