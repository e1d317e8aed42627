/* The compiled core: the common cases of sections, views and state words, in straight lines of system calls.

   Nothing needs this file. Each function does the case in which nothing is in the way, and does it while it has the
   interpreter's lock and runs no Python code: so no other thread, signal handler or garbage collection comes in
   between, and no lock of the Python code is needed. When anything at all is in the way, what was done is undone, and
   the Python code, which knows all cases and has all the errors, does it from the start. The two can be mixed in one
   process and between processes: they are one protocol, which `_kernel/names`, `objects` and `dispatch` explain.

   A Hold is a handle to memory, a Mapped a view, before anybody has asked for more than they can do. Then a Hold
   *hatches*: it hands all it has to a Section and a SectionHandle of the Python code, to which it leads from then on
   (see `_kernel/memory/quick.py`).

   Limited API of Python 3.11: one binary for that and all later versions. */

#define _GNU_SOURCE
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if !defined(__linux__) || !defined(__LP64__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || defined(Py_GIL_DISABLED)
#error "the compiled core is for 64-bit little-endian Linux, and Pythons with an interpreter lock"
#endif

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* -- numbers of the Python code: locks.py, controlpage.py, section.py, arena.py, protection.py ---------------------- */

#define ANCHOR INT64_MAX
#define GUARD (1LL << 62)
#define HANDOVER (GUARD + 2)
#define LIVENESS (GUARD + 3)
#define WAITERS (1LL << 61)
#define WAITERS_END ((1LL << 61) + (1LL << 60))
enum { FLAGS = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY };
enum { PAGE = 4096, CONTROL = 4096, TEXT_AT = 256, LONGEST_TEXT = 255, GRANULARITY = 0x10000 };
/* Larger allocations and views take so long that the interpreter's lock is better given away, or want large pages. */
enum { LARGEST_QUICK = 1 << 20, HUGE_VIEW = 1 << 21 };
enum { PAGE_READONLY = 2, PAGE_READWRITE = 4, SECTION_MAP_WRITE = 2, SECTION_MAP_READ = 4, SEC_COMMIT = 0x8000000 };
enum { KIND_SECTION = 1, VERSION = 3 };

/* -- the process: set by quick.py ----------------------------------------------------------------------------------- */

static const volatile unsigned char *ours; /* lineage.ours */
static PyObject *in_flight;                /* objectfile.in_flight: files that Python code is just opening */
static PyObject *registry, *holders;       /* named.registry, named.holders */
static PyObject *kept;                     /* descriptors.kept */
static PyObject *entries;                  /* the handle table's */
static PyObject *hatch, *drop, *look;      /* quick.hatch(hold), dropping.drop(address), lineage.look() */
static int paused = 1;                     /* before the first use, and while the process forks */
static int64_t slot;                       /* description.slot */
static int64_t number;                     /* locks: how many bytes below a guard are locked with it */
static uid_t user;
static int32_t process;

/* -- types ---------------------------------------------------------------------------------------------------------- */

/* The control page as far as a section has one (see controlpage.py). */
typedef struct {
    char magic[8];
    uint32_t version, kind, flags, protection, attributes, creator_uid;
    uint64_t size, requested, data_length, bitmap_length, text_at;
    uint32_t name_length, path_length;
    uint64_t backing_device, backing_inode;
    uint32_t creator_pid, unused;
    uint64_t created;
    uint32_t crc, padding[3];
    char state[TEXT_AT - 128];
} Head;
_Static_assert(sizeof(Head) == TEXT_AT && offsetof(Head, crc) == 112, "the layout of the control page");

typedef struct Hold {
    PyObject_HEAD
    struct Hold *next, *previous; /* of those that have not hatched and have a descriptor */
    int fd, made, handles, granted;
    int64_t views;
    dev_t device;
    ino_t inode;
    uid_t uid;
    mode_t mode;
    Head head;
    PyObject *path, *name, *text, *key; /* bytes, ObjectName, bytes, (device, inode) */
    PyObject *section, *handle;         /* once it has hatched */
} Hold;

typedef struct Mapped {
    PyObject_HEAD
    struct Mapped *next, *previous; /* of those that the address space (space.py) does not know */
    char *first, *base;
    Py_ssize_t size;
    size_t length; /* whole pages, from base on */
    int64_t offset;
    int writable, looked;
    Hold *hold;
} Mapped;

typedef struct {
    PyObject_HEAD
    PyObject *memory; /* what keeps it */
    char *first;
    Py_ssize_t size;
    int writable;
    Py_buffer buffer; /* of memory that is no Mapped */
} Window;

static PyTypeObject *HoldType, *MappedType;
static Hold holds = {.next = &holds, .previous = &holds};
static Mapped views = {.next = &views, .previous = &views};

#define LINK(list, item) ((item)->previous = (list).previous, (item)->next = &(list), (list).previous->next = (item), (list).previous = (item))
#define UNLINK(item) ((item)->next ? ((item)->previous->next = (item)->next, (item)->next->previous = (item)->previous, (item)->next = (item)->previous = NULL) : NULL)

/* -- locks ---------------------------------------------------------------------------------------------------------- */

/* Relative to the anchor: where the descriptor has become another file's the kernel refuses it. */
static int lock(int fd, int kind, int64_t start, int64_t length) {
    struct flock range = {.l_type = kind, .l_whence = SEEK_CUR, .l_start = start - ANCHOR, .l_len = length};
    return fcntl(fd, F_OFD_SETLK, &range);
}

static int guard(int fd, int kind) {
    return lock(fd, kind, GUARD - number, number + 1);
}

/* Whether another description holds the object: 0, 1, or -1. */
static int is_alive(int fd) {
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_start = HANDOVER - ANCHOR, .l_len = 0};
    return fcntl(fd, F_OFD_GETLK, &range) ? -1 : range.l_type != F_UNLCK;
}

static int intact(int fd) {
    return lseek(fd, 0, SEEK_CUR) == ANCHOR;
}

/* Whether nothing stands in the way of a change of what this process holds. */
static int usable(void) {
    return !paused && *ours && PySet_Size(in_flight) == 0 && geteuid() == user;
}

static uint32_t checksums[256];

static uint32_t checksum(const Head *head) {
    const unsigned char *byte = (const unsigned char *)head, *end = (const unsigned char *)&head->crc;
    uint32_t crc = ~0u;
    while (byte < end)
        crc = checksums[(crc ^ *byte++) & 255] ^ crc >> 8;
    return ~crc;
}

/* -- Hold: create and open ------------------------------------------------------------------------------------------ */

/* A Hold without a descriptor. All that has to be allocated is: from here on no garbage collection comes in between. */
static Hold *new_hold(PyObject *path, PyObject *name, PyObject *text, long granted) {
    PyObject *key = PyTuple_New(2);
    Hold *hold = key ? PyObject_New(Hold, HoldType) : NULL;
    if (!hold) {
        Py_XDECREF(key);
        return NULL;
    }
    memset((char *)hold + offsetof(Hold, next), 0, sizeof(Hold) - offsetof(Hold, next));
    hold->fd = -1;
    hold->granted = granted;
    hold->path = Py_NewRef(path);
    hold->name = Py_NewRef(name);
    hold->text = Py_NewRef(text);
    hold->key = key;
    return hold;
}

/* Whether the file that was opened can be this process's, and nobody's else: device and inode are noted. */
static int is_own(Hold *hold, const struct stat *info) {
    PyObject *device = PyLong_FromUnsignedLongLong(info->st_dev), *inode = PyLong_FromUnsignedLongLong(info->st_ino);
    if (!device || !inode) {
        Py_XDECREF(device);
        Py_XDECREF(inode);
        return 0;
    }
    PyTuple_SetItem(hold->key, 0, device);
    PyTuple_SetItem(hold->key, 1, inode);
    hold->device = info->st_dev;
    hold->inode = info->st_ino;
    hold->uid = info->st_uid;
    hold->mode = info->st_mode;
    return S_ISREG(info->st_mode) && info->st_nlink == 1 && info->st_uid == user && !(info->st_mode & 022)
        && !PyDict_Contains(registry, hold->key);
}

/* Note it where the Python code looks; 0 if that fails, which is undone. */
static int remember(Hold *hold) {
    PyObject *fd = PyLong_FromLong(hold->fd);
    /* A descriptor that is known was closed by other code: the Python code tells its keeper. */
    int done = fd && PyDict_Contains(kept, fd) == 0 && !PyDict_SetItem(kept, fd, (PyObject *)hold);
    if (done && PyDict_SetItem(registry, hold->key, (PyObject *)hold)) {
        PyDict_DelItem(kept, fd);
        done = 0;
    }
    Py_XDECREF(fd);
    if (done) {
        hold->handles = 1;
        LINK(holds, hold);
    }
    return done;
}

/* None: the Python code does it. `remove`: the guard of a file that was just made is held, so that nobody else can take
   its name away; somebody had the guard before, and may have removed the file, if the name leads elsewhere by now. */
static PyObject *give_up(Hold *hold, int remove) {
    if (hold->fd >= 0) {
        struct stat here, there;
        const char *path = PyBytes_AsString(hold->path);
        if (remove && !fstat(hold->fd, &here) && !lstat(path, &there) && here.st_ino == there.st_ino
            && here.st_dev == there.st_dev)
            unlink(path);
        lock(hold->fd, F_UNLCK, WAITERS_END, 0);
        close(hold->fd);
        hold->fd = -1;
    }
    Py_DECREF((PyObject *)hold);
    PyErr_Clear();
    Py_RETURN_NONE;
}

static Hold *parsed(PyObject *const *given) {
    if (!PyBytes_Check(given[0]) || !PyBytes_Check(given[2])) {
        PyErr_SetString(PyExc_TypeError, "a path and a text are bytes");
        return NULL;
    }
    long granted = PyLong_AsLong(given[3]);
    return PyErr_Occurred() ? NULL : new_hold(given[0], given[1], given[2], granted);
}

/* create(path, name, text, granted, size, protection): new memory of this name, private to the user. */
static PyObject *create(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    if (count != 6)
        return PyErr_Format(PyExc_TypeError, "create takes 6 arguments, not %zd", count);
    long long requested = PyLong_AsLongLong(given[4]);
    long protection = PyLong_AsLong(given[5]);
    Hold *hold = PyErr_Occurred() ? NULL : parsed(given);
    if (!hold)
        return NULL;
    Py_ssize_t length = PyBytes_Size(given[2]);
    if (!usable() || requested < 1 || requested > LARGEST_QUICK || length > LONGEST_TEXT
        || (protection != PAGE_READONLY && protection != PAGE_READWRITE))
        return give_up(hold, 0);
    const char *path = PyBytes_AsString(hold->path);
    uint64_t size = (requested + PAGE - 1) / PAGE * PAGE;
    struct { Head head; char text[LONGEST_TEXT]; } page = {0};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    page.head = (Head){
        .magic = {'N', 'A', 'M', 'E', 'D', 'M', 'A', 'P'}, .version = VERSION, .kind = KIND_SECTION,
        .protection = protection, .attributes = SEC_COMMIT, .creator_uid = getuid(), .size = size,
        .requested = requested, .data_length = size, .text_at = size + TEXT_AT, .name_length = length,
        .creator_pid = getpid(), .created = now.tv_sec * 1000000000ULL + now.tv_nsec,
    };
    page.head.crc = checksum(&page.head);
    memcpy(page.text, PyBytes_AsString(hold->text), length);
    hold->fd = open(path, FLAGS | O_CREAT | O_EXCL, 0600);
    if (hold->fd < 0)
        return give_up(hold, 0);
    struct stat info;
    if (lseek(hold->fd, ANCHOR, SEEK_SET) != ANCHOR || guard(hold->fd, F_WRLCK))
        return give_up(hold, 0); /* a dead file, which nobody believes in */
    if (fstat(hold->fd, &info) || !is_own(hold, &info) || (info.st_mode & 0777) != 0600
        || fallocate(hold->fd, 0, 0, size + CONTROL)
        || pwrite(hold->fd, &page, TEXT_AT + length, size) != TEXT_AT + length || lock(hold->fd, F_RDLCK, slot, 1)
        || !remember(hold))
        return give_up(hold, 1);
    guard(hold->fd, F_UNLCK);
    hold->made = 1;
    hold->head = page.head;
    return (PyObject *)hold;
}

/* Whether a control page is that of memory of this name, which takes no thought. */
static int is_plain(const Hold *hold, const Head *head, const char *text, const struct stat *info) {
    Py_ssize_t length = PyBytes_Size(hold->text);
    return !memcmp(head->magic, "NAMEDMAP", 8) && head->version == VERSION && head->crc == checksum(head)
        && head->kind == KIND_SECTION && !head->flags && head->size == head->data_length && !head->bitmap_length
        && head->size && !(head->size % PAGE) && head->size + CONTROL == (uint64_t)info->st_size
        && head->text_at == head->size + TEXT_AT && !head->path_length && head->name_length == length
        && !memcmp(text, PyBytes_AsString(hold->text), length) && head->requested && head->requested <= head->size
        && (head->protection == PAGE_READONLY || head->protection == PAGE_READWRITE);
}

/* open(path, name, text, granted): memory of this name that this process does not have yet. */
static PyObject *open_(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    if (count != 4)
        return PyErr_Format(PyExc_TypeError, "open takes 4 arguments, not %zd", count);
    Hold *hold = parsed(given);
    if (!hold)
        return NULL;
    Py_ssize_t length = PyBytes_Size(given[2]);
    if (!usable() || length > LONGEST_TEXT || (hold->fd = open(PyBytes_AsString(hold->path), FLAGS)) < 0)
        return give_up(hold, 0);
    struct stat info;
    struct { Head head; char text[LONGEST_TEXT]; } page;
    ssize_t wanted = TEXT_AT + length;
    if (lseek(hold->fd, ANCHOR, SEEK_SET) != ANCHOR || guard(hold->fd, F_RDLCK) || fstat(hold->fd, &info)
        || !is_own(hold, &info) || is_alive(hold->fd) != 1 || info.st_size < CONTROL + PAGE
        || pread(hold->fd, &page, wanted, info.st_size - CONTROL) != wanted
        || !is_plain(hold, &page.head, page.text, &info) || lock(hold->fd, F_RDLCK, slot, 1) || !remember(hold))
        return give_up(hold, 0);
    guard(hold->fd, F_UNLCK);
    hold->head = page.head;
    return (PyObject *)hold;
}

/* -- Hold: the end of its handle, and of its descriptor -------------------------------------------------------------- */

/* Where a view ends while an exception is on its way, that goes on. */
static void forget(PyObject *dictionary, PyObject *key, Hold *hold) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (key && PyDict_GetItemWithError(dictionary, key) == (PyObject *)hold)
        PyDict_DelItem(dictionary, key);
    PyErr_Restore(type, value, traceback);
}

/* The descriptor goes when neither a handle nor a view needs it. */
static void release(Hold *hold) {
    if (hold->handles || hold->views || hold->fd < 0)
        return;
    PyObject *fd = PyLong_FromLong(hold->fd);
    int still = intact(hold->fd);
    Py_INCREF((PyObject *)hold);
    forget(kept, fd, hold);
    if (still)
        close(hold->fd);
    hold->fd = -1;
    UNLINK(hold);
    Py_XDECREF(fd);
    Py_DECREF((PyObject *)hold);
}

/* Close the handle, and remove the file if nobody else has one: 1; 0: the Python code has to, from the start. */
static int close_quickly(Hold *hold) {
    if (!usable() || !intact(hold->fd))
        return 0;
    int last = hold->made && !lock(hold->fd, F_WRLCK, GUARD, 0);
    if (!last) {
        /* First drop, then look: see NamedObject._is_last. */
        int alive = lock(hold->fd, F_UNLCK, slot, 0) ? -1 : is_alive(hold->fd);
        if (alive < 0 || (!alive && guard(hold->fd, F_WRLCK)))
            return 0;
        last = !alive && !is_alive(hold->fd);
    }
    struct stat info;
    const char *path = PyBytes_AsString(hold->path);
    if (last && !lstat(path, &info) && info.st_ino == hold->inode)
        unlink(path);
    lock(hold->fd, F_UNLCK, WAITERS_END, 0);
    hold->handles = 0;
    Py_INCREF((PyObject *)hold);
    forget(registry, hold->key, hold);
    release(hold);
    Py_DECREF((PyObject *)hold);
    return 1;
}

/* The handle in Python, to which the Hold leads; made when it is first asked for. */
static PyObject *hatched(Hold *hold) {
    if (!hold->handle) {
        PyObject *done = PyObject_CallFunctionObjArgs(hatch, hold, NULL);
        if (!done)
            return NULL;
        Py_DECREF(done);
        if (!hold->handle) {
            PyErr_SetString(PyExc_SystemError, "the hold has not hatched");
            return NULL;
        }
    }
    return hold->handle;
}

static PyObject *hold_close(PyObject *self, PyObject *unused) {
    Hold *hold = (Hold *)self;
    if (!hold->handle && !hold->handles)
        Py_RETURN_NONE;
    if (!hold->handle && close_quickly(hold))
        Py_RETURN_NONE;
    PyObject *handle = hatched(hold);
    return handle ? PyObject_CallMethod(handle, "close", NULL) : NULL;
}

static void hold_dealloc(PyObject *self) {
    Hold *hold = (Hold *)self;
    PyTypeObject *type = Py_TYPE(self);
    UNLINK(hold);
    Py_XDECREF(hold->path);
    Py_XDECREF(hold->name);
    Py_XDECREF(hold->text);
    Py_XDECREF(hold->key);
    Py_XDECREF(hold->section);
    Py_XDECREF(hold->handle);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* -- Hold: what it is ------------------------------------------------------------------------------------------------ */

static PyObject *hold_constant_size(PyObject *self, void *unused) {
    return PyLong_FromUnsignedLongLong(((Hold *)self)->head.requested);
}

/* Nobody but its owner can cut it off: see Section.may_vanish. */
static PyObject *hold_may_vanish(PyObject *self, void *unused) {
    return PyBool_FromLong(((Hold *)self)->uid != geteuid());
}

static PyObject *hold_getattr(PyObject *self, PyObject *name) {
    PyObject *found = PyObject_GenericGetAttr(self, name);
    if (found || !PyErr_ExceptionMatches(PyExc_AttributeError))
        return found;
    PyErr_Clear();
    PyObject *handle = hatched((Hold *)self);
    return handle ? PyObject_GetAttr(handle, name) : NULL;
}

/* Other code has closed the descriptor, and the number is another's: see descriptors.Keeper. */
static PyObject *hold_lost(PyObject *self, PyObject *unused) {
    Hold *hold = (Hold *)self;
    if (hold->section)
        return PyObject_CallMethod(hold->section, "descriptor_lost", NULL);
    hold->fd = INT_MAX;
    Py_RETURN_NONE;
}

/* state() -> (fd, path, name, made, key, head, text, file size, granted, uid, mode, handles), to hatch from; None once it
   has hatched */
static PyObject *hold_state(PyObject *self, PyObject *unused) {
    Hold *hold = (Hold *)self;
    if (hold->handle)
        Py_RETURN_NONE;
    return Py_BuildValue(
        "(iOOiOy#OLiIIi)", hold->fd, hold->path, hold->name, hold->made, hold->key, (char *)&hold->head,
        (Py_ssize_t)sizeof(Head), hold->text, (long long)hold->head.size + CONTROL, hold->granted,
        (unsigned)hold->uid, (unsigned)hold->mode, hold->handles);
}

static int set_number(PyObject *object, const char *name, int64_t value) {
    PyObject *boxed = PyLong_FromLongLong(value);
    int failed = !boxed || PyObject_SetAttrString(object, name, boxed);
    Py_XDECREF(boxed);
    return failed;
}

/* become(section, handle, fd, handles) -> bool: these have all that the Hold had, from now on, unless it has hatched, or
   changed since `state` told the two numbers. Nothing happens in between. */
static PyObject *hold_become(PyObject *self, PyObject *const *given, Py_ssize_t count) {
    Hold *hold = (Hold *)self;
    if (count != 4)
        return PyErr_Format(PyExc_TypeError, "become takes 4 arguments, not %zd", count);
    long seen_fd = PyLong_AsLong(given[2]), seen_handles = PyLong_AsLong(given[3]);
    if (PyErr_Occurred())
        return NULL;
    if (hold->handle || seen_fd != hold->fd || seen_handles != hold->handles)
        Py_RETURN_FALSE;
    PyObject *section = given[0], *handle = given[1], *value = NULL, *fd = NULL;
    if (set_number(section, "handle_count", hold->handles)
        || set_number(section, "_references", hold->handles + hold->views) || !(fd = PyLong_FromLong(hold->fd))
        || !(value = PyObject_GetAttrString(handle, "value")))
        goto failed;
    if (hold->handle || seen_fd != hold->fd || seen_handles != hold->handles) { /* code of the arguments' own has run */
        Py_DECREF(fd);
        Py_DECREF(value);
        Py_RETURN_FALSE;
    }
    Py_INCREF(self);
    int open = hold->fd >= 0, bad = (hold->handles && (PyDict_SetItem(registry, hold->key, section) || PyDict_SetItem(entries, value, handle)))
        || (open && (PySet_Add(holders, section) || (hold->fd != INT_MAX && PyDict_SetItem(kept, fd, section))));
    if (!bad) {
        hold->section = Py_NewRef(section);
        hold->handle = Py_NewRef(handle);
        hold->fd = -1;
        UNLINK(hold);
    }
    Py_DECREF(self);
    if (bad)
        goto failed;
    Py_DECREF(fd);
    Py_DECREF(value);
    Py_RETURN_TRUE;
failed:
    Py_XDECREF(fd);
    Py_XDECREF(value);
    return NULL;
}

/* -- Mapped ---------------------------------------------------------------------------------------------------------- */

static char *fresh, *beyond; /* addresses that nobody has had yet */
static char *freed;          /* the place of the last view that was unmapped */
static size_t freed_length;

static size_t rounded(size_t length, size_t unit) {
    return (length + unit - 1) / unit * unit;
}

static char *map_somewhere(size_t length, int protection, int fd, int64_t offset) {
    size_t place = rounded(length, GRANULARITY);
    for (int attempt = 0; attempt < 4; attempt++) {
        char *base = fresh;
        if (freed && freed_length >= place) {
            base = freed;
            freed = NULL;
        } else if ((size_t)(beyond - fresh) < place)
            return NULL;
        else
            fresh += place;
        char *found = mmap(base, length, protection, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, offset);
        if (found == base)
            return found;
        if (found != MAP_FAILED) /* a kernel before 4.17 takes the address for a hint */
            munmap(found, length);
        else if (errno != EEXIST)
            return NULL;
    }
    return NULL;
}

/* The view, or NULL without an error: the Python code does it. */
static Mapped *map_quickly(Hold *hold, PyObject *access, int64_t offset, int64_t size) {
    if (paused || !*ours || hold->handle || !hold->handles || offset < 0 || size < 1)
        return NULL;
    long protection = PyLong_AsLong(PyTuple_GetItem(access, 1));
    int writable = protection == PAGE_READWRITE;
    int64_t start = offset % GRANULARITY;
    if ((!writable && protection != PAGE_READONLY) || (uint64_t)offset >= hold->head.size
        || (uint64_t)size > hold->head.size - offset || size + start >= HUGE_VIEW
        || !(hold->granted & (writable ? SECTION_MAP_WRITE : SECTION_MAP_READ))
        || (writable && hold->head.protection != PAGE_READWRITE) || !intact(hold->fd))
        return NULL;
    Mapped *mapped = PyObject_New(Mapped, MappedType);
    if (!mapped)
        return NULL;
    mapped->next = mapped->previous = NULL;
    mapped->hold = NULL;
    mapped->looked = 0;
    mapped->length = rounded(size + start, PAGE);
    mapped->base = map_somewhere(
        mapped->length, writable ? PROT_READ | PROT_WRITE : PROT_READ, hold->fd, offset - start);
    if (!mapped->base) {
        Py_DECREF((PyObject *)mapped);
        return NULL;
    }
    mapped->first = mapped->base + start;
    mapped->size = size;
    mapped->offset = offset - start;
    mapped->writable = writable;
    mapped->hold = (Hold *)Py_NewRef((PyObject *)hold);
    hold->views++;
    LINK(views, mapped);
    return mapped;
}

static PyObject *hold_map(PyObject *self, PyObject *const *given, Py_ssize_t count) {
    Hold *hold = (Hold *)self;
    if (count != 3 || !PyTuple_Check(given[0]) || PyTuple_Size(given[0]) < 2) {
        PyErr_SetString(PyExc_TypeError, "map takes an Access, an offset and a size");
        return NULL;
    }
    int64_t offset = PyLong_AsLongLong(given[1]), size = PyLong_AsLongLong(given[2]);
    PyObject *mapped = PyErr_Occurred() ? NULL : (PyObject *)map_quickly(hold, given[0], offset, size);
    if (mapped)
        return mapped;
    PyErr_Clear();
    PyObject *handle = hatched(hold);
    return handle ? PyObject_CallMethod(handle, "map", "OOO", given[0], given[1], given[2]) : NULL;
}

/* Call Python code from where no exception can go. */
static void call_apart(PyObject *function, const char *method, PyObject *argument) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *done = method ? PyObject_CallMethod(function, method, NULL)
                            : PyObject_CallFunctionObjArgs(function, argument, NULL);
    if (!done)
        PyErr_WriteUnraisable(function);
    Py_XDECREF(done);
    PyErr_Restore(type, value, traceback);
}

/* After a fork in C, and at the end, Python code looks before it takes a lock (see lineage.py); and it counts the views
   anew. A twin lives meanwhile; 1: it had the end of the view. */
static int look_first(Mapped *mapped) {
    Mapped *twin = PyObject_New(Mapped, MappedType);
    if (!twin) {
        PyErr_Clear();
        return 0;
    }
    memcpy((char *)twin + offsetof(Mapped, next), (char *)mapped + offsetof(Mapped, next),
           sizeof(Mapped) - offsetof(Mapped, next));
    twin->looked = 1;
    UNLINK(mapped);
    LINK(views, twin);
    call_apart(look, NULL, NULL);
    Py_DECREF((PyObject *)twin);
    return 1;
}

static void mapped_dealloc(PyObject *self) {
    Mapped *mapped = (Mapped *)self;
    PyTypeObject *type = Py_TYPE(self);
    Hold *hold = mapped->hold;
    if (mapped->next && hold->section && !*ours && !mapped->looked && look_first(mapped))
        hold = NULL;
    else if (mapped->next) {
        UNLINK(mapped);
        munmap(mapped->base, mapped->length);
        freed = mapped->base;
        freed_length = rounded(mapped->length, GRANULARITY);
        if (hold->section)
            call_apart(hold->section, "release", NULL);
        else {
            hold->views--;
            release(hold);
        }
    } else if (hold) { /* the address space knows it */
        PyObject *address = PyLong_FromVoidPtr(mapped->base);
        if (address)
            call_apart(drop, NULL, address);
        Py_XDECREF(address);
    }
    Py_XDECREF((PyObject *)hold);
    PyObject_Free(self);
    Py_DECREF(type);
}

static int mapped_getbuffer(PyObject *self, Py_buffer *buffer, int flags) {
    Mapped *mapped = (Mapped *)self;
    return PyBuffer_FillInfo(buffer, self, mapped->first, mapped->size, !mapped->writable, flags);
}

static PyObject *mapped_buffer(PyObject *self, PyObject *unused) {
    return PyMemoryView_FromObject(self);
}

static PyObject *mapped_address(PyObject *self, void *unused) {
    return PyLong_FromVoidPtr(((Mapped *)self)->first);
}

/* region() -> (base, length, protection, handle, offset) */
static PyObject *mapped_region(PyObject *self, PyObject *unused) {
    Mapped *mapped = (Mapped *)self;
    PyObject *handle = hatched(mapped->hold);
    if (!handle)
        return NULL;
    return Py_BuildValue(
        "(NniOL)", PyLong_FromVoidPtr(mapped->base), (Py_ssize_t)mapped->length,
        mapped->writable ? PAGE_READWRITE : PAGE_READONLY, handle, (long long)mapped->offset);
}

/* hand_over(): the address space has it from now on */
static PyObject *mapped_hand_over(PyObject *self, PyObject *unused) {
    UNLINK((Mapped *)self);
    Py_RETURN_NONE;
}

/* -- Window: see memory/window.py ------------------------------------------------------------------------------------ */

static int window_clear(PyObject *self) {
    Window *window = (Window *)self;
    PyObject *memory = window->memory;
    Py_buffer buffer = window->buffer;
    window->memory = NULL;
    window->buffer.obj = NULL;
    if (buffer.obj)
        PyBuffer_Release(&buffer);
    Py_XDECREF(memory);
    return 0;
}

static int window_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Window *)self)->memory);
    return 0;
}

/* The end of an object of a class whose base is one of Window, State and Latch. */
static void base_dealloc(PyObject *self, inquiry clear) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    clear(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static void window_dealloc(PyObject *self) {
    base_dealloc(self, window_clear);
}

static PyObject *window_look_at(PyObject *self, PyObject *memory) {
    Window *window = (Window *)self;
    if (memory == Py_None) {
        window_clear(self);
        Py_RETURN_NONE;
    }
    Py_buffer buffer = {0};
    if (!Py_IS_TYPE(memory, MappedType)) {
        PyObject *bytes = PyObject_CallMethod(memory, "buffer", NULL);
        if (!bytes)
            return NULL;
        int failed = PyObject_GetBuffer(bytes, &buffer, PyBUF_SIMPLE);
        int writable = !failed && !buffer.readonly;
        Py_DECREF(bytes);
        if (failed)
            return NULL;
        window_clear(self);
        window->first = buffer.buf;
        window->size = buffer.len;
        window->writable = writable;
        window->buffer = buffer;
    } else {
        Mapped *mapped = (Mapped *)memory;
        window_clear(self);
        window->first = mapped->first;
        window->size = mapped->size;
        window->writable = mapped->writable;
    }
    window->memory = Py_NewRef(memory);
    Py_RETURN_NONE;
}

/* The index that an exact int stands for, or -1. */
static Py_ssize_t index_of(const Window *window, PyObject *key) {
    Py_ssize_t index = PyLong_AsSsize_t(key);
    if (index == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        return -1;
    }
    if (index < 0)
        index += window->size;
    return index < window->size ? index : -1;
}

static PyObject *window_subscript(PyObject *self, PyObject *key) {
    Window *window = (Window *)self;
    if (window->memory) {
        if (PySlice_Check(key)) {
            Py_ssize_t start, stop, step;
            if (PySlice_Unpack(key, &start, &stop, &step) < 0)
                return NULL;
            /* The numbers of the slice may have closed the view. */
            if (step == 1 && window->memory) {
                Py_ssize_t length = PySlice_AdjustIndices(window->size, &start, &stop, step);
                return PyBytes_FromStringAndSize(window->first + start, length);
            }
        } else if (PyLong_CheckExact(key)) {
            Py_ssize_t index = index_of(window, key);
            if (index >= 0)
                return PyLong_FromLong((unsigned char)window->first[index]);
        }
    }
    return PyObject_CallMethod(self, "_get", "O", key);
}

static int window_store(PyObject *self, PyObject *key, PyObject *value) {
    Window *window = (Window *)self;
    if (!value) {
        PyErr_SetString(PyExc_TypeError, "a view keeps its size: nothing can be deleted");
        return -1;
    }
    if (window->memory && window->writable) {
        if (PySlice_Check(key) && PyBytes_CheckExact(value)) {
            Py_ssize_t start, stop, step;
            if (PySlice_Unpack(key, &start, &stop, &step) < 0)
                return -1;
            if (step == 1 && window->memory && window->writable) {
                Py_ssize_t length = PySlice_AdjustIndices(window->size, &start, &stop, step);
                if (length == PyBytes_Size(value)) {
                    memcpy(window->first + start, PyBytes_AsString(value), length);
                    return 0;
                }
            }
        } else if (PyLong_CheckExact(key) && PyLong_CheckExact(value)) {
            Py_ssize_t index = index_of(window, key);
            int overflow;
            long byte = PyLong_AsLongAndOverflow(value, &overflow);
            if (index >= 0 && !overflow && byte >= 0 && byte < 256) {
                window->first[index] = (char)byte;
                return 0;
            }
        }
    }
    PyObject *done = PyObject_CallMethod(self, "_set", "OO", key, value);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* For what takes sequences only, such as reversed(). */
static PyObject *window_item(PyObject *self, Py_ssize_t index) {
    PyObject *key = PyLong_FromSsize_t(index), *found = key ? window_subscript(self, key) : NULL;
    Py_XDECREF(key);
    return found;
}

static int window_getbuffer(PyObject *self, Py_buffer *buffer, int flags) {
    PyObject *bytes = PyObject_GetAttrString(self, "buf");
    if (!bytes) {
        buffer->obj = NULL;
        return -1;
    }
    int failed = PyObject_GetBuffer(bytes, buffer, flags);
    Py_DECREF(bytes);
    return failed;
}

/* -- state words: see dispatcher.py, mutant.py and counted.py -------------------------------------------------------- */

enum { COUNT, PERMITS, MAXIMUM, FLAGS_OF_STATE, GENERATION, SEQUENCE, WAITING, SEQUENCE_ALL, WAITING_ALL, PULSED, OWNER,
       GIVER, OWNER_PID };
/* COUNT of a semaphore or event below 0: somebody waits, or is changing it under the guard. */
#define SLOW INT32_MIN
enum { SEAT_MASK = (1 << 11) - 1 };
enum { NOT_THERE, TAKEN, TAKES_THOUGHT };

typedef _Atomic int32_t word;

/* The base of mutants, semaphores and events. Python code keeps `quick` 0 while it has to know of each change. */
typedef struct {
    PyObject_HEAD
    unsigned long long quick; /* where the state words lie, or 0 */
    PyObject *mapping;        /* what keeps them */
    PyObject *owner;          /* of a mutex: who in this process has it, and how often */
    long long turn;
    int recursion, seat, quick_fd;
    int depth, queued, sleepers; /* of the guard; threads of this process that are counted in WAITERS, here or there */
    char manual;
    int64_t looked; /* when the descriptor was found to be intact */
} State;

/* The base of Mutex, Semaphore and Event. */
typedef struct {
    PyObject_HEAD
    PyObject *held; /* its State */
    char abandoned;
} Latch;

static PyTypeObject *StateType, *LatchType;
/* natives.py: has anybody replaced threading.get_ident, or time.sleep? */
static PyObject *threading_names, *get_ident_name, *get_ident, *time_names, *sleep_name, *sleep_;
static __thread PyObject *this_thread; /* owners.thread.owner, if this thread was asked before */

static word *address_of(const State *state) {
    return (word *)(uintptr_t)state->quick;
}

/* The words of an object; NULL where the Python code has to do it. Whether other code has closed the descriptor is asked
   once in a tick of the clock: the call would take longer than all the rest. */
static word *usable_words(State *found) {
    if (!ours || !*ours || !found->quick)
        return NULL;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    int64_t tick = now.tv_sec * 1000000000LL + now.tv_nsec;
    if (tick != found->looked) {
        if (!intact(found->quick_fd))
            return NULL;
        found->looked = tick;
    }
    return address_of(found);
}

/* The same of the object that a Mutex, Semaphore or Event stands for. */
static word *words_of(PyObject *self, State **state) {
    PyObject *held = ((Latch *)self)->held;
    if (!held || !PyObject_TypeCheck(held, StateType))
        return NULL;
    *state = (State *)held;
    return usable_words(*state);
}

/* The calling thread as an owner; NULL where it may be a greenlet, or has not been seen yet. */
static PyObject *caller(void) {
    return PyDict_GetItemWithError(threading_names, get_ident_name) == get_ident ? this_thread : NULL;
}

/* Whether no greenlet has to run while this thread sleeps. */
static int may_sleep(void) {
    return PyDict_GetItemWithError(time_names, sleep_name) == sleep_;
}

static void wake(word *sequence, int number) {
    atomic_fetch_add(sequence, 1);
    syscall(SYS_futex, sequence, FUTEX_WAKE, number, NULL, NULL, 0);
}

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Who waits spins while the giver's processor is another than its own. */
static void note_giver(word *words) {
    atomic_store_explicit(&words[GIVER], sched_getcpu() + 1, memory_order_relaxed);
}

/* -- mutexes */

static int take_mutex(State *mutex, word *words, PyObject *me) {
    if (mutex->recursion) {
        if (mutex->owner != me)
            return NOT_THERE;
        if (mutex->recursion == INT_MAX)
            return TAKES_THOUGHT;
        mutex->recursion++;
        words[COUNT] = 1 - mutex->recursion;
        return TAKEN;
    }
    int32_t free = 0;
    if (!atomic_compare_exchange_strong(&words[OWNER], &free, mutex->seat))
        return free & ~SEAT_MASK || free == mutex->seat ? TAKES_THOUGHT : NOT_THERE;
    PyObject *before = mutex->owner;
    mutex->owner = Py_NewRef(me);
    mutex->recursion = 1;
    mutex->turn++;
    atomic_store_explicit(&words[COUNT], 0, memory_order_relaxed);
    atomic_store_explicit(&words[OWNER_PID], process, memory_order_relaxed);
    Py_XDECREF(before);
    return TAKEN;
}

static int release_mutex(State *mutex, word *words) {
    if (mutex->recursion > 1) {
        mutex->recursion--;
        words[COUNT] = 1 - mutex->recursion;
        return 0;
    }
    PyObject *before = mutex->owner;
    mutex->owner = NULL;
    mutex->recursion = 0;
    atomic_store_explicit(&words[COUNT], 1, memory_order_relaxed);
    note_giver(words);
    atomic_fetch_and(&words[OWNER], ~SEAT_MASK);
    if (words[WAITING]) { /* a relaxed load could come before, where processors have weak order: see dispatcher.py */
        words[WAITING] = 0;
        wake(&words[SEQUENCE], 1);
    }
    Py_XDECREF(before);
    return words[WAITING_ALL] != 0;
}

/* -- counts: semaphores, and events */

static int take_count(State *counted, word *words) {
    int32_t count = atomic_load(&words[COUNT]);
    while (count > 0)
        if (counted->manual || atomic_compare_exchange_weak(&words[COUNT], &count, count - 1))
            return TAKEN;
    return count < 0 ? TAKES_THOUGHT : NOT_THERE;
}

/* The count before, or -1: the Python code does it. */
static int64_t add_count(word *words, int64_t number) {
    int32_t count = atomic_load(&words[COUNT]), most = words[MAXIMUM];
    do
        if (count < 0 || number < 1 || number > (int64_t)most - count)
            return -1;
    while (!atomic_compare_exchange_weak(&words[COUNT], &count, count + (int32_t)number));
    note_giver(words);
    return count;
}

/* -- waiting a little */

/* How long a waiter looks again and again while the giver runs on another processor, in ns: a sleep and the wake take
   longer. And how long it sleeps at first, until it looks for deaths, which it leaves to the Python code for a mutex. */
enum { SPIN = 40000, LOOKS = 32, SLICE = 100000000, SECOND = 1000000000 };

static int64_t at_most(int64_t number, int64_t most) {
    return number < most ? number : most;
}

/* Look, without the interpreter's lock, until it seems to be there; 0 if it does not. */
static int spin(word *words, int index, int is_mutex, int64_t until) {
    int32_t giver = atomic_load_explicit(&words[GIVER], memory_order_relaxed);
    if (!giver || giver == sched_getcpu() + 1)
        return 0;
    int64_t end = at_most(nanoseconds() + SPIN, until);
    do
        for (int look = 0; look < LOOKS; look++) {
            int32_t value = atomic_load_explicit(&words[index], memory_order_relaxed);
            if (is_mutex ? !(value & SEAT_MASK) : value > 0)
                return 1;
            if (!is_mutex && value < 0)
                return 0; /* somebody sleeps: what comes is given to the sleepers */
            relax();
        }
    while (nanoseconds() < end);
    return 0;
}

/* Sleep until a word has not the value any more, or for so many ns; 0: it was woken. */
static int sleep_on(word *sequence, int32_t seen, int64_t left) {
    struct timespec limit = {left / SECOND, left % SECOND};
    return syscall(SYS_futex, sequence, FUTEX_WAIT, seen, &limit, NULL, 0) ? errno : 0;
}

/* Sleep until a mutex seems to be free, without the interpreter's lock; whether to look for signals first. */
static int sleep_for_mutex(word *words, int64_t until) {
    int32_t seen = atomic_load(&words[SEQUENCE]);
    atomic_store(&words[WAITING], 1);
    if (!(atomic_load(&words[OWNER]) & SEAT_MASK))
        return 0;
    int64_t left = until - nanoseconds();
    return left > 0 && sleep_on(&words[SEQUENCE], seen, left) == EINTR;
}

/* Wait for a mutex that is not there; the result as of take_mutex, or -1 for an exception. */
static int wait_for_mutex(State *mutex, PyObject *me, double seconds) {
    word *words = address_of(mutex);
    PyObject *kept = Py_NewRef(mutex->mapping); /* another thread may close the handle */
    int64_t now = nanoseconds(), until = now + (seconds < SLICE / 1e9 ? (int64_t)(seconds * 1e9) : SLICE);
    int slept = 0, result = NOT_THERE, interrupted = 0;
    pid_t here = getpid();
    while (result == NOT_THERE && nanoseconds() < until) {
        Py_BEGIN_ALLOW_THREADS
        interrupted = 0;
        if (slept || !spin(words, OWNER, 1, until)) {
            slept = 1;
            interrupted = sleep_for_mutex(words, until);
        }
        Py_END_ALLOW_THREADS
        if (interrupted && PyErr_CheckSignals())
            result = -1;
        else if (address_of(mutex) != words || !*ours)
            result = TAKES_THOUGHT;
        else
            result = take_mutex(mutex, words, me);
    }
    if (slept && getpid() == here) { /* a child that a signal handler has forked has no such memory */
        if (result == TAKEN)
            words[WAITING] = 1; /* others may sleep as well */
        else
            wake(&words[SEQUENCE], 1); /* the wake may have been for this one */
    }
    Py_DECREF(kept);
    return result;
}

/* -- counts, under the guard: what counted.py does for those who wait, and for those who give to them */

/* The bytes of others' locks in a range, or `enough`: see locks._count. */
static int64_t count_locks(int fd, int64_t start, int64_t end, int64_t enough, int *looks) {
    int64_t total = 0;
    while (start < end && total < enough && (*looks)++ < 2000) {
        struct flock range = {
            .l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_start = start - ANCHOR, .l_len = end - start};
        if (fcntl(fd, F_OFD_GETLK, &range) || range.l_type == F_UNLCK || !range.l_len)
            break;
        int64_t first = range.l_start, beyond = range.l_start + range.l_len;
        total += (beyond < end ? beyond : end) - (first > start ? first : start);
        if (first > start)
            total += count_locks(fd, start, first, enough - total, looks);
        start = beyond;
    }
    return total;
}

static int64_t count_waiters(const State *counted, int64_t enough) {
    int looks = 0;
    int64_t others = enough > counted->queued
        ? count_locks(counted->quick_fd, WAITERS, WAITERS_END, enough - counted->queued, &looks)
        : 0;
    int64_t all = counted->queued + others;
    return all < 1 << 30 ? all : 1 << 30;
}

/* Take the object's `mutex` and its guard, unless that would have to be waited for: see dispatcher.under_guard. */
static PyObject *enter(State *counted, word *words) {
    PyObject *mutex = PyObject_GetAttrString((PyObject *)counted, "mutex"), *free = NULL;
    if (mutex && (free = PyObject_CallMethod(mutex, "acquire", "O", Py_False)) && free == Py_True) {
        if (address_of(counted) == words && *ours && !counted->depth && !guard(counted->quick_fd, F_WRLCK)) {
            atomic_fetch_or(&words[COUNT], SLOW);
            Py_DECREF(free);
            return mutex;
        }
        Py_XDECREF(PyObject_CallMethod(mutex, "release", NULL));
    }
    PyErr_Clear();
    Py_XDECREF(free);
    Py_XDECREF(mutex);
    return NULL;
}

static void leave(State *counted, word *words, PyObject *mutex) {
    if (!words[WAITING] && !words[WAITING_ALL] && words[PERMITS] < 1)
        atomic_fetch_and(&words[COUNT], ~SLOW);
    guard(counted->quick_fd, F_UNLCK);
    Py_XDECREF(PyObject_CallMethod(mutex, "release", NULL));
    PyErr_Clear();
    Py_DECREF(mutex);
}

/* COUNT and PERMITS in one store: a death neither doubles nor loses anything. */
static void store_pair(word *words, int64_t count, int64_t permits) {
    if (count > words[MAXIMUM])
        count = words[MAXIMUM];
    atomic_store((_Atomic int64_t *)words, (int64_t)(((uint64_t)permits << 32) | ((uint32_t)count | (uint32_t)SLOW)));
}

/* Give so many to those who wait, and keep the rest; the count before, or -1: the Python code does it. */
static int64_t post(State *counted, word *words, int64_t number, int limited) {
    PyObject *mutex = enter(counted, words);
    if (!mutex)
        return -1;
    int64_t count = words[COUNT] & INT32_MAX, permits = words[PERMITS], waiters = 0, granted = 0, before = count;
    int possible = !words[WAITING_ALL] && !(limited && number > words[MAXIMUM] - count);
    if (possible) {
        if (words[WAITING] && !(waiters = count_waiters(counted, permits + number)))
            words[WAITING] = 0;
        if (permits > waiters) {
            count += permits - waiters;
            permits = waiters;
        }
        if (waiters > permits)
            granted = number < waiters - permits ? number : waiters - permits;
        store_pair(words, count + number - granted, permits + granted);
        if (granted)
            words[GENERATION] = (words[GENERATION] + 1) & INT32_MAX;
    }
    leave(counted, words, mutex);
    if (granted)
        wake(&words[SEQUENCE], (int)granted);
    return possible ? before : -1;
}

/* Add to a count, or give to those who wait; the count before, or -1: the Python code does it. */
static int64_t give_count(State *counted, word *words, int64_t number) {
    int64_t before = add_count(words, number);
    return before < 0 && number > 0 ? post(counted, words, number, 1) : before;
}

/* How a thread of this process is counted among those who wait, with the guard. */
static void count_in(State *counted) {
    counted->queued++;
    counted->sleepers++;
    lock(counted->quick_fd, F_RDLCK, WAITERS + (slot - LIVENESS), counted->queued);
}

static void count_out(State *counted) {
    if (!*ours || !counted->queued || !counted->sleepers)
        return; /* a child that was forked meanwhile: the locks are the parent's */
    counted->sleepers--;
    counted->queued--;
    lock(counted->quick_fd, F_UNLCK, WAITERS + (slot - LIVENESS) + counted->queued, (1 << 20) - counted->queued);
}

/* Take a permit that was given since `generation`, or from the count, with the guard; else prepare to sleep. */
static int collect(State *counted, word *words, int32_t generation) {
    int64_t count = words[COUNT] & INT32_MAX, permits = words[PERMITS];
    if (permits > 0) {
        int64_t waiters = count_waiters(counted, permits);
        if (permits > waiters) {
            store_pair(words, count + permits - waiters, waiters);
            count = words[COUNT] & INT32_MAX;
            permits = waiters;
        }
    }
    if (permits > 0 && generation != words[GENERATION])
        words[PERMITS] = (int32_t)permits - 1;
    else if (count > 0)
        words[COUNT] = (int32_t)(count - 1) | SLOW;
    else {
        words[WAITING] = 1;
        return NOT_THERE;
    }
    return TAKEN;
}

/* Wait for a count that is not there, without leaving those who wait: what is given meanwhile may be for this one.
   TAKEN, NOT_THERE, TAKES_THOUGHT, or -1 for an exception. */
static int wait_for_count(State *counted, word *words, int64_t until) {
    PyObject *mutex = enter(counted, words);
    if (!mutex)
        return TAKES_THOUGHT;
    count_in(counted);
    int32_t generation = words[GENERATION], seen;
    int result = NOT_THERE, early;
    int64_t began = nanoseconds();
    PyObject *type = NULL, *value = NULL, *traceback = NULL; /* of a signal handler */
    for (;;) {
        int64_t now = nanoseconds(), waited = now - began, share = at_most(waited / 10, SECOND);
        seen = words[SEQUENCE];
        /* Patient after a while: see Counted._attempt. */
        result = collect(counted, words, waited > SLICE ? words[GENERATION] - 1 : generation);
        if (result == TAKEN || now >= until)
            break;
        leave(counted, words, mutex);
        int64_t left = at_most(until - now, share > SLICE ? share : SLICE);
        Py_BEGIN_ALLOW_THREADS
        early = sleep_on(&words[SEQUENCE], seen, left) != 0;
        Py_END_ALLOW_THREADS
        /* A Python function, where handlers run, and exceptions that others send to this thread. */
        PyObject *looked = early ? PyObject_CallFunctionObjArgs(look, NULL) : NULL;
        if (early && !looked) {
            result = -1;
            PyErr_Fetch(&type, &value, &traceback);
        }
        Py_XDECREF(looked);
        for (int attempt = 0; !(mutex = enter(counted, words)) && attempt < 1000; attempt++) {
            if (address_of(counted) != words || !*ours)
                break;
            Py_BEGIN_ALLOW_THREADS
            sched_yield();
            Py_END_ALLOW_THREADS
        }
        if (!mutex || result < 0)
            break;
    }
    if (mutex) {
        count_out(counted);
        if (result == TAKEN && words[PERMITS] < 1 && !count_waiters(counted, 1))
            words[WAITING] = 0;
        int there = (words[COUNT] & INT32_MAX) > 0, rest = result != TAKEN && (words[PERMITS] > 0 || there);
        if (rest && words[PERMITS] > 0)
            words[GENERATION] = (words[GENERATION] + 1) & INT32_MAX;
        if (rest && there && words[WAITING_ALL]) {
            words[WAITING_ALL] = 0;
            wake(&words[SEQUENCE_ALL], INT_MAX);
        }
        leave(counted, words, mutex);
        if (rest)
            wake(&words[SEQUENCE], 1); /* the wake may have been for this one */
    } else
        count_out(counted);
    if (result < 0)
        PyErr_Restore(type, value, traceback);
    return result;
}

static int await_count(State *counted, double seconds) {
    word *words = address_of(counted);
    PyObject *kept = Py_NewRef(counted->mapping);
    int64_t until = nanoseconds() + (int64_t)((seconds < SECOND ? seconds : SECOND) * 1e9); /* 30 years at most */
    int found;
    Py_BEGIN_ALLOW_THREADS
    found = spin(words, COUNT, 0, until);
    Py_END_ALLOW_THREADS
    int result = TAKES_THOUGHT;
    if (address_of(counted) == words && *ours) {
        result = found ? take_count(counted, words) : NOT_THERE;
        if (result != TAKEN && !counted->manual)
            result = wait_for_count(counted, words, until);
    }
    Py_DECREF(kept);
    return result;
}

/* -- the methods of Mutex, Semaphore and Event that are taken over; whatever takes thought goes to the methods in Python */

/* A timeout that takes no thought, in seconds; -1: let the Python code judge it. */
static double patience(PyObject *const *given, Py_ssize_t count, PyObject *names) {
    if (names ? count || PyTuple_Size(names) != 1 : count > 1)
        return -1;
    if (names) {
        PyObject *name = PyTuple_GetItem(names, 0);
        if (PyUnicode_CompareWithASCIIString(name, "timeout"))
            return -1;
    } else if (!count)
        return HUGE_VAL;
    if (given[0] == Py_None)
        return HUGE_VAL;
    if (!PyFloat_CheckExact(given[0]) && !PyLong_CheckExact(given[0]))
        return -1;
    double seconds = PyFloat_AsDouble(given[0]);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return -1;
    }
    return seconds >= 0 ? seconds : -1;
}

static PyObject *call_slow(PyObject *self, const char *name, PyObject *const *given, Py_ssize_t count, PyObject *names) {
    PyObject *method = PyObject_GetAttrString(self, name), *result = NULL;
    PyObject *arguments = method ? PyTuple_New(count) : NULL, *keywords = arguments && names ? PyDict_New() : NULL;
    if (arguments && (keywords || !names)) {
        int failed = 0;
        for (Py_ssize_t i = 0; i < count; i++)
            failed |= PyTuple_SetItem(arguments, i, Py_NewRef(given[i]));
        for (Py_ssize_t i = 0; names && i < PyTuple_Size(names); i++)
            failed |= PyDict_SetItem(keywords, PyTuple_GetItem(names, i), given[count + i]);
        if (!failed)
            result = PyObject_Call(method, arguments, keywords);
    }
    Py_XDECREF(keywords);
    Py_XDECREF(arguments);
    Py_XDECREF(method);
    return result;
}

/* The rest of a wait that began here. */
static PyObject *go_on_waiting(PyObject *self, const char *slow, double seconds, int64_t began) {
    if (seconds == HUGE_VAL)
        return PyObject_CallMethod(self, slow, NULL);
    double left = seconds - (nanoseconds() - began) / 1e9;
    return PyObject_CallMethod(self, slow, "d", left > 0 ? left : 0.0);
}

static PyObject *mutex_acquire(PyObject *self, PyObject *const *given, Py_ssize_t count, PyObject *names) {
    State *mutex;
    word *words = words_of(self, &mutex);
    PyObject *me = words ? caller() : NULL;
    double seconds;
    if (me && (seconds = patience(given, count, names)) >= 0) {
        Latch *latch = (Latch *)self;
        latch->abandoned = 0;
        int result = take_mutex(mutex, words, me);
        if (result == NOT_THERE && seconds > 0 && may_sleep()) {
            int64_t began = nanoseconds();
            Py_INCREF((PyObject *)mutex);
            result = wait_for_mutex(mutex, me, seconds);
            Py_DECREF((PyObject *)mutex);
            if (result != TAKEN)
                return result < 0 ? NULL : go_on_waiting(self, "_acquire", seconds, began);
        }
        if (result == TAKEN)
            Py_RETURN_TRUE;
    }
    return call_slow(self, "_acquire", given, count, names);
}

static PyObject *mutex_release(PyObject *self, PyObject *unused) {
    State *mutex;
    word *words = words_of(self, &mutex);
    PyObject *me = words ? caller() : NULL;
    if (!me || mutex->owner != me || !mutex->recursion)
        return PyObject_CallMethod(self, "_release", NULL);
    if (!release_mutex(mutex, words))
        Py_RETURN_NONE;
    return PyObject_CallMethod((PyObject *)mutex, "tell_all_waiters", NULL);
}

static PyObject *take_counted(
    PyObject *self, const char *slow, PyObject *const *given, Py_ssize_t count, PyObject *names) {
    State *counted;
    word *words = words_of(self, &counted);
    double seconds;
    if (words && (seconds = patience(given, count, names)) >= 0) {
        int result = take_count(counted, words);
        if (result != TAKEN && seconds > 0 && caller() && may_sleep()) {
            int64_t began = nanoseconds();
            Py_INCREF((PyObject *)counted);
            result = await_count(counted, seconds);
            Py_DECREF((PyObject *)counted);
            if (result != TAKEN)
                return result < 0 ? NULL : go_on_waiting(self, slow, seconds, began);
        }
        if (result == TAKEN)
            Py_RETURN_TRUE;
    }
    return call_slow(self, slow, given, count, names);
}

static PyObject *semaphore_acquire(PyObject *self, PyObject *const *given, Py_ssize_t count, PyObject *names) {
    return take_counted(self, "_acquire", given, count, names);
}

static PyObject *event_wait(PyObject *self, PyObject *const *given, Py_ssize_t count, PyObject *names) {
    return take_counted(self, "_wait", given, count, names);
}

static PyObject *semaphore_release(PyObject *self, PyObject *const *given, Py_ssize_t count, PyObject *names) {
    State *semaphore;
    word *words = words_of(self, &semaphore);
    if (words && !names && (!count || (count == 1 && PyLong_CheckExact(given[0])))) {
        int overflow = 0;
        long long number = count ? PyLong_AsLongLongAndOverflow(given[0], &overflow) : 1;
        int64_t before = overflow ? -1 : give_count(semaphore, words, number);
        if (before >= 0)
            return PyLong_FromLongLong(before);
    }
    return call_slow(self, "_release", given, count, names);
}

/* Whether it was done. */
static int set_event(State *event, word *words) {
    int32_t count = 0;
    if (atomic_compare_exchange_strong(&words[COUNT], &count, 1))
        note_giver(words);
    return count >= 0 || (!event->manual && post(event, words, 1, 0) >= 0);
}

static PyObject *event_set(PyObject *self, PyObject *unused) {
    State *event;
    word *words = words_of(self, &event);
    if (words && set_event(event, words))
        Py_RETURN_NONE;
    return PyObject_CallMethod(self, "_set", NULL);
}

/* -- the same for the Python code, which the functions of namedmap.win32 use: whether it was done */

static PyObject *state_take_for(PyObject *self, PyObject *owner) {
    word *words = usable_words((State *)self);
    return PyBool_FromLong(words && take_mutex((State *)self, words, owner) == TAKEN);
}

static PyObject *state_give_for(PyObject *self, PyObject *owner) {
    State *mutex = (State *)self;
    word *words = usable_words(mutex);
    if (!words || mutex->owner != owner || !mutex->recursion)
        Py_RETURN_FALSE;
    if (release_mutex(mutex, words)) {
        PyObject *told = PyObject_CallMethod(self, "tell_all_waiters", NULL);
        if (!told)
            return NULL;
        Py_DECREF(told);
    }
    Py_RETURN_TRUE;
}

static PyObject *state_take_one(PyObject *self, PyObject *unused) {
    word *words = usable_words((State *)self);
    return PyBool_FromLong(words && take_count((State *)self, words) == TAKEN);
}

/* The count before, or -1. */
static PyObject *state_give(PyObject *self, PyObject *number) {
    word *words = usable_words((State *)self);
    int overflow;
    long long wanted = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (wanted == -1 && PyErr_Occurred())
        return NULL;
    return PyLong_FromLongLong(words && !overflow ? give_count((State *)self, words, wanted) : -1);
}

static PyObject *state_set(PyObject *self, PyObject *unused) {
    word *words = usable_words((State *)self);
    return PyBool_FromLong(words && set_event((State *)self, words));
}

/* The classes whose methods were taken over; their subclasses may have methods of their own. */
static PyTypeObject *mutex_class, *semaphore_class;

static PyObject *latch_enter(PyObject *self, PyObject *unused) {
    PyObject *done = Py_IS_TYPE(self, mutex_class) ? mutex_acquire(self, NULL, 0, NULL)
        : Py_IS_TYPE(self, semaphore_class)        ? semaphore_acquire(self, NULL, 0, NULL)
                                                   : PyObject_CallMethod(self, "acquire", NULL);
    Py_XDECREF(done);
    return done ? Py_NewRef(self) : NULL;
}

static PyObject *latch_exit(PyObject *self, PyObject *const *unused, Py_ssize_t count) {
    PyObject *done = Py_IS_TYPE(self, mutex_class) ? mutex_release(self, NULL)
        : Py_IS_TYPE(self, semaphore_class)        ? semaphore_release(self, NULL, 0, NULL)
                                                   : PyObject_CallMethod(self, "release", NULL);
    Py_XDECREF(done);
    if (!done)
        return NULL;
    Py_RETURN_NONE;
}

#define KEYWORDS (METH_FASTCALL | METH_KEYWORDS)
typedef struct {
    PyMethodDef method;
    const char *signature;
} Quick;
static Quick mutex_methods[] = {
    {{"acquire", (PyCFunction)(void *)mutex_acquire, KEYWORDS, NULL}, "($self, /, timeout=None)"},
    {{"release", mutex_release, METH_NOARGS, NULL}, "($self, /)"},
    {{"__enter__", latch_enter, METH_NOARGS, NULL}, "($self, /)"},
    {{"__exit__", (PyCFunction)(void *)latch_exit, METH_FASTCALL, NULL}, "($self, /, *_)"},
    {{0}, NULL},
};
static Quick semaphore_methods[] = {
    {{"acquire", (PyCFunction)(void *)semaphore_acquire, KEYWORDS, NULL}, "($self, /, timeout=None)"},
    {{"release", (PyCFunction)(void *)semaphore_release, KEYWORDS, NULL}, "($self, /, count=1)"},
    {{"__enter__", latch_enter, METH_NOARGS, NULL}, "($self, /)"},
    {{"__exit__", (PyCFunction)(void *)latch_exit, METH_FASTCALL, NULL}, "($self, /, *_)"},
    {{0}, NULL},
};
static Quick event_methods[] = {
    {{"wait", (PyCFunction)(void *)event_wait, KEYWORDS, NULL}, "($self, /, timeout=None)"},
    {{"set", event_set, METH_NOARGS, NULL}, "($self, /)"},
    {{0}, NULL},
};

/* Put a method in the place of one in Python, which is called `_name` from now on, and gives it its docstring. */
static int take_over(PyObject *class, Quick *quick) {
    const char *name = quick->method.ml_name;
    PyObject *slow = PyObject_GetAttrString(class, name), *doc = slow ? PyObject_GetAttrString(slow, "__doc__") : NULL;
    PyObject *text = NULL, *hidden = NULL, *method = NULL;
    int done = 0;
    if (doc && (hidden = PyUnicode_FromFormat("_%s", name))
        && (text = PyUnicode_FromFormat("%s%s\n--\n\n%S", name, quick->signature, doc == Py_None ? hidden : doc))
        && (quick->method.ml_doc = PyUnicode_AsUTF8AndSize(text, NULL))
        && (method = PyDescr_NewMethod((PyTypeObject *)class, &quick->method)))
        done = !PyObject_SetAttr(class, hidden, slow) && !PyObject_SetAttrString(class, name, method);
    Py_XDECREF(method);
    Py_XDECREF(hidden);
    Py_XDECREF(doc);
    Py_XDECREF(slow); /* the text stays for ever */
    return done;
}

/* quicken(Mutex, Semaphore, Event) */
static PyObject *quicken(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    static Quick *const methods[] = {mutex_methods, semaphore_methods, event_methods};
    if (count != 3 || mutex_class)
        return PyErr_Format(PyExc_TypeError, "quicken takes 3 classes, once");
    for (int i = 0; i < 3; i++) {
        if (!PyType_Check(given[i]) || !PyType_IsSubtype((PyTypeObject *)given[i], LatchType))
            return PyErr_Format(PyExc_TypeError, "quicken takes classes with the base Latch");
        for (Quick *quick = methods[i]; quick->method.ml_name; quick++)
            if (!take_over(given[i], quick))
                return NULL;
    }
    mutex_class = (PyTypeObject *)Py_NewRef(given[0]);
    semaphore_class = (PyTypeObject *)Py_NewRef(given[1]);
    Py_RETURN_NONE;
}

/* -- for the Python code of lock-free objects: see dispatch/state.py */

static word *parsed_word(PyObject *const *given, Py_ssize_t count, Py_ssize_t wanted, long long *numbers) {
    if (count != wanted) {
        PyErr_Format(PyExc_TypeError, "%zd arguments, not %zd", wanted, count);
        return NULL;
    }
    word *address = PyLong_AsVoidPtr(given[0]);
    for (Py_ssize_t i = 1; i < wanted && !PyErr_Occurred(); i++)
        numbers[i - 1] = PyLong_AsLongLong(given[i]);
    if (!PyErr_Occurred() && !address)
        PyErr_SetString(PyExc_ValueError, "there is no word at 0");
    return PyErr_Occurred() ? NULL : address;
}

/* exchange(address, expected, new) -> before */
static PyObject *exchange(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    long long numbers[2];
    word *address = parsed_word(given, count, 3, numbers);
    if (!address)
        return NULL;
    int32_t expected = (int32_t)numbers[0];
    atomic_compare_exchange_strong(address, &expected, (int32_t)numbers[1]);
    return PyLong_FromLong(expected);
}

/* set_bits(address, bits); clear_bits(address, bits) */
static PyObject *set_bits(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    long long bits;
    word *address = parsed_word(given, count, 2, &bits);
    if (!address)
        return NULL;
    atomic_fetch_or(address, (int32_t)bits);
    Py_RETURN_NONE;
}

static PyObject *clear_bits(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    long long bits;
    word *address = parsed_word(given, count, 2, &bits);
    if (!address)
        return NULL;
    atomic_fetch_and(address, ~(int32_t)bits);
    Py_RETURN_NONE;
}

/* know_thread(owner or None): the owner that the calling thread is */
static PyObject *know_thread(PyObject *module, PyObject *owner) {
    PyObject *before = this_thread;
    this_thread = owner == Py_None ? NULL : Py_NewRef(owner);
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

/* know_threads(names of the module threading, its own get_ident, names of the module time, its own sleep) */
static PyObject *know_threads(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    if (count != 4 || !PyDict_Check(given[0]) || !PyDict_Check(given[2]))
        return PyErr_Format(PyExc_TypeError, "know_threads takes dictionaries and functions");
    if (!threading_names) {
        threading_names = Py_NewRef(given[0]);
        get_ident = Py_NewRef(given[1]);
        get_ident_name = PyUnicode_InternFromString("get_ident");
        time_names = Py_NewRef(given[2]);
        sleep_ = Py_NewRef(given[3]);
        sleep_name = PyUnicode_InternFromString("sleep");
    }
    Py_RETURN_NONE;
}

static int state_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((State *)self)->owner);
    Py_VISIT(((State *)self)->mapping);
    return 0;
}

static int state_clear(PyObject *self) {
    State *state = (State *)self;
    state->quick = 0;
    Py_CLEAR(state->owner);
    Py_CLEAR(state->mapping);
    return 0;
}

static int latch_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Latch *)self)->held);
    return 0;
}

static int latch_clear(PyObject *self) {
    Py_CLEAR(((Latch *)self)->held);
    return 0;
}

static void state_dealloc(PyObject *self) {
    base_dealloc(self, state_clear);
}

static void latch_dealloc(PyObject *self) {
    base_dealloc(self, latch_clear);
}

/* -- the module ------------------------------------------------------------------------------------------------------ */

/* configure(ours, in_flight, registry, holders, kept, entries, hatch, drop, look, first address, one beyond the last) */
static PyObject *configure(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    if (count != 11)
        return PyErr_Format(PyExc_TypeError, "configure takes 11 arguments, not %zd", count);
    static Py_buffer byte; /* for ever: another byte would be another process's */
    if (byte.obj) {
        PyErr_SetString(PyExc_RuntimeError, "the core is configured already");
        return NULL;
    }
    if (!PyAnySet_Check(given[1]) || !PyDict_Check(given[2]) || !PyAnySet_Check(given[3]) || !PyDict_Check(given[4])
        || !PyDict_Check(given[5])) {
        PyErr_SetString(PyExc_TypeError, "configure takes sets and dictionaries");
        return NULL;
    }
    char *first = PyLong_AsVoidPtr(given[9]), *last = PyLong_AsVoidPtr(given[10]);
    if (PyErr_Occurred() || PyObject_GetBuffer(given[0], &byte, PyBUF_SIMPLE))
        return NULL;
    if (!byte.len) {
        PyBuffer_Release(&byte);
        PyErr_SetString(PyExc_ValueError, "configure takes a byte");
        return NULL;
    }
    ours = byte.buf;
    in_flight = Py_NewRef(given[1]);
    registry = Py_NewRef(given[2]);
    holders = Py_NewRef(given[3]);
    kept = Py_NewRef(given[4]);
    entries = Py_NewRef(given[5]);
    hatch = Py_NewRef(given[6]);
    drop = Py_NewRef(given[7]);
    look = Py_NewRef(given[8]);
    fresh = first;
    beyond = last;
    /* With a neighbour that stays, the kernel keeps the page tables when a view that stands alone is unmapped. */
    if (mmap(fresh, GRANULARITY, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0)
        == fresh)
        fresh += GRANULARITY;
    Py_RETURN_NONE;
}

/* resume(slot, number): the process has these; from now on the core may be used. */
static PyObject *resume(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "resume takes 2 arguments, not %zd", count);
    long long new_slot = PyLong_AsLongLong(given[0]), new_number = PyLong_AsLongLong(given[1]);
    if (PyErr_Occurred())
        return NULL;
    if (!ours) {
        PyErr_SetString(PyExc_RuntimeError, "the core is not configured");
        return NULL;
    }
    slot = new_slot;
    number = new_number;
    user = geteuid();
    process = getpid();
    paused = 0;
    Py_RETURN_NONE;
}

/* pause(): until `resume` the Python code does everything. */
static PyObject *pause_(PyObject *module, PyObject *unused) {
    paused = 1;
    Py_RETURN_NONE;
}

#define LISTED(function, list, type)                                                                                   \
    static PyObject *function(PyObject *module, PyObject *unused) {                                                    \
        PyObject *found = PyList_New(0);                                                                               \
        for (type *each = list.next; found && each != &list; each = each->next)                                        \
            if (PyList_Append(found, (PyObject *)each))                                                                \
                Py_CLEAR(found);                                                                                       \
        return found;                                                                                                  \
    }
LISTED(unhatched_holds, holds, Hold)
LISTED(unhatched_views, views, Mapped)

static PyMethodDef hold_methods[] = {
    {"map", (PyCFunction)hold_map, METH_FASTCALL, NULL},
    {"close", hold_close, METH_NOARGS, NULL},
    {"state", hold_state, METH_NOARGS, NULL},
    {"become", (PyCFunction)hold_become, METH_FASTCALL, NULL},
    {"descriptor_lost", hold_lost, METH_NOARGS, NULL},
    {0},
};
static PyGetSetDef hold_getters[] = {
    {"constant_size", hold_constant_size, NULL, NULL, NULL},
    {"may_vanish", hold_may_vanish, NULL, NULL, NULL},
    {0},
};
static PyType_Slot hold_slots[] = {
    {Py_tp_dealloc, hold_dealloc},
    {Py_tp_getattro, hold_getattr},
    {Py_tp_methods, hold_methods},
    {Py_tp_getset, hold_getters},
    {0, NULL},
};
static PyType_Spec hold_spec = {
    "namedmap._native.Hold", sizeof(Hold), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, hold_slots,
};

static PyMethodDef mapped_methods[] = {
    {"buffer", mapped_buffer, METH_NOARGS, NULL},
    {"region", mapped_region, METH_NOARGS, NULL},
    {"hand_over", mapped_hand_over, METH_NOARGS, NULL},
    {0},
};
static PyGetSetDef mapped_getters[] = {{"address", mapped_address, NULL, NULL, NULL}, {0}};
static PyType_Slot mapped_slots[] = {
    {Py_tp_dealloc, mapped_dealloc},
    {Py_bf_getbuffer, mapped_getbuffer},
    {Py_tp_methods, mapped_methods},
    {Py_tp_getset, mapped_getters},
    {0, NULL},
};
static PyType_Spec mapped_spec = {
    "namedmap._native.Mapped", sizeof(Mapped), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, mapped_slots,
};

static PyMethodDef window_methods[] = {{"_look_at", window_look_at, METH_O, NULL}, {0}};
static PyType_Slot window_slots[] = {
    {Py_tp_dealloc, window_dealloc},
    {Py_tp_traverse, window_traverse},
    {Py_tp_clear, window_clear},
    {Py_mp_subscript, window_subscript},
    {Py_mp_ass_subscript, window_store},
    {Py_sq_item, window_item},
    {Py_bf_getbuffer, window_getbuffer},
    {Py_tp_methods, window_methods},
    {0, NULL},
};
static PyType_Spec window_spec = {
    "namedmap._native.Window", sizeof(Window), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    window_slots,
};

static PyMemberDef state_members[] = {
    {"quick", T_ULONGLONG, offsetof(State, quick), 0, NULL},
    {"quick_fd", T_INT, offsetof(State, quick_fd), 0, NULL},
    {"_mapping", T_OBJECT, offsetof(State, mapping), 0, NULL},
    {"owner", T_OBJECT, offsetof(State, owner), 0, NULL},
    {"recursion", T_INT, offsetof(State, recursion), 0, NULL},
    {"turn", T_LONGLONG, offsetof(State, turn), 0, NULL},
    {"seat", T_INT, offsetof(State, seat), 0, NULL},
    {"depth", T_INT, offsetof(State, depth), 0, NULL},
    {"queued", T_INT, offsetof(State, queued), 0, NULL},
    {"sleepers", T_INT, offsetof(State, sleepers), 0, NULL},
    {"manual", T_BOOL, offsetof(State, manual), 0, NULL},
    {0},
};
static PyMethodDef state_methods[] = {
    {"core_take_for", state_take_for, METH_O, NULL},
    {"core_give_for", state_give_for, METH_O, NULL},
    {"core_take_one", state_take_one, METH_NOARGS, NULL},
    {"core_give", state_give, METH_O, NULL},
    {"core_set", state_set, METH_NOARGS, NULL},
    {0},
};
static PyType_Slot state_slots[] = {
    {Py_tp_methods, state_methods},
    {Py_tp_dealloc, state_dealloc}, {Py_tp_traverse, state_traverse}, {Py_tp_clear, state_clear},
    {Py_tp_members, state_members}, {0, NULL},
};
static PyType_Spec state_spec = {
    "namedmap._native.State", sizeof(State), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    state_slots,
};

static PyMemberDef latch_members[] = {
    {"_held", T_OBJECT, offsetof(Latch, held), 0, NULL},
    {"abandoned", T_BOOL, offsetof(Latch, abandoned), 0, NULL},
    {0},
};
static PyType_Slot latch_slots[] = {
    {Py_tp_dealloc, latch_dealloc}, {Py_tp_traverse, latch_traverse}, {Py_tp_clear, latch_clear},
    {Py_tp_members, latch_members}, {0, NULL},
};
static PyType_Spec latch_spec = {
    "namedmap._native.Latch", sizeof(Latch), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    latch_slots,
};

static PyTypeObject *new_type(PyObject *module, PyType_Spec *spec) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type && PyModule_AddObjectRef(module, strrchr(spec->name, '.') + 1, type))
        Py_CLEAR(type);
    return (PyTypeObject *)type;
}

static int execute(PyObject *module) {
    if (HoldType) {
        PyErr_SetString(PyExc_ImportError, "the core serves one interpreter of a process");
        return -1;
    }
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? 0xEDB88320u ^ crc >> 1 : crc >> 1;
        checksums[byte] = crc;
    }
    PyTypeObject *window;
    if (!(HoldType = new_type(module, &hold_spec)) || !(MappedType = new_type(module, &mapped_spec))
        || !(StateType = new_type(module, &state_spec)) || !(LatchType = new_type(module, &latch_spec))
        || !(window = new_type(module, &window_spec)))
        return -1;
    Py_DECREF((PyObject *)window);
    return 0;
}

static PyMethodDef functions[] = {
    {"configure", (PyCFunction)configure, METH_FASTCALL, NULL},
    {"resume", (PyCFunction)resume, METH_FASTCALL, NULL},
    {"pause", pause_, METH_NOARGS, NULL},
    {"create", (PyCFunction)create, METH_FASTCALL, NULL},
    {"open", (PyCFunction)open_, METH_FASTCALL, NULL},
    {"holds", unhatched_holds, METH_NOARGS, NULL},
    {"views", unhatched_views, METH_NOARGS, NULL},
    {"quicken", (PyCFunction)quicken, METH_FASTCALL, NULL},
    {"know_thread", know_thread, METH_O, NULL},
    {"know_threads", (PyCFunction)know_threads, METH_FASTCALL, NULL},
    {"exchange", (PyCFunction)exchange, METH_FASTCALL, NULL},
    {"set_bits", (PyCFunction)set_bits, METH_FASTCALL, NULL},
    {"clear_bits", (PyCFunction)clear_bits, METH_FASTCALL, NULL},
    {0},
};
static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, execute}, {0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "namedmap._native", NULL, 0, functions, module_slots,
};

PyMODINIT_FUNC PyInit__native(void) {
    return PyModuleDef_Init(&definition);
}
