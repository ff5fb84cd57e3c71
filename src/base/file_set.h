/*
 * The files that a command reads and writes. Each is identified by its device and inode or, when it
 * does not exist yet, by its folder and name. The set makes sure that a file that is written is not
 * also read or written for another purpose.
 */
#ifndef SW_BASE_FILE_SET_H
#define SW_BASE_FILE_SET_H

#include "base/status.h"

#include <stddef.h>

struct sw_file_entry;

struct sw_file_set {
    struct sw_file_entry *entries; /* (n) */
    size_t n, capacity;
};

/*
 * Adds `path` (NULL: none), which will be read. `what` is its name in messages ("IN", "--cluster")
 * and is borrowed. A file that cannot be examined is no failure here: opening it will fail.
 */
enum sw_status sw_file_set_read(struct sw_file_set *set, const char *what, const char *path);
/* Adds every file in `folder`, after following links, as one that will be read. */
enum sw_status sw_file_set_read_folder(struct sw_file_set *set, const char *what,
                                       const char *folder);
/*
 * Adds `path` (NULL: none), which will be written. SW_EUSAGE when it is, or would become, a file of
 * the set (the message names both), or is a folder, a pipe, a socket or a block device. A file
 * whose folder does not exist is no failure here: opening it will fail.
 */
enum sw_status sw_file_set_write(struct sw_file_set *set, const char *what, const char *path);
void sw_file_set_free(struct sw_file_set *set);

#endif
