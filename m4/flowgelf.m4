# SPDX-License-Identifier: Apache-2.0
# Macros of configure.ac: libraries that are looked for one by one and reported all together, and sanitizers.

# FLOWGELF_NEED(VARIABLE, PKG-CONFIG MODULE, DEBIAN PACKAGE, RPM PACKAGE)
# Adds the module's flags to DEPS_CFLAGS and DEPS_LIBS, or notes that it is missing.
AC_DEFUN([FLOWGELF_NEED], [
  PKG_CHECK_MODULES([$1], [$2],
    [DEPS_CFLAGS="$DEPS_CFLAGS $$1_CFLAGS"
     DEPS_LIBS="$DEPS_LIBS $$1_LIBS"],
    [FLOWGELF_NOTE_MISSING([$2], [$3], [$4])])
])

AC_DEFUN([FLOWGELF_NOTE_MISSING], [
  flowgelf_missing="$flowgelf_missing
    m4_format([[%-26s]], [$1]) Debian, Ubuntu: m4_format([[%-24s]], [$2]) Fedora, RHEL: $3"
  flowgelf_missing_deb="$flowgelf_missing_deb $2"
  flowgelf_missing_rpm="$flowgelf_missing_rpm $3"
])

# FLOWGELF_NEED_ALL_FOUND: one message for all that is missing, and the end.
AC_DEFUN([FLOWGELF_NEED_ALL_FOUND], [
  AS_IF([test -n "$flowgelf_missing"], [
    AC_MSG_ERROR([these libraries (pkg-config modules) are missing, or too old:
$flowgelf_missing

  All of them at once:
    apt-get install$flowgelf_missing_deb
    dnf install$flowgelf_missing_rpm])
  ])
])

# FLOWGELF_SANITIZE: --enable-sanitize=address|thread sets SANITIZE_FLAGS and the condition SANITIZE_THREAD.
AC_DEFUN([FLOWGELF_SANITIZE], [
  AC_ARG_ENABLE([sanitize],
    [AS_HELP_STRING([--enable-sanitize=KIND],
      [build for tests: KIND is address (with undefined behaviour) or thread])],
    [], [enable_sanitize=no])
  AS_CASE([$enable_sanitize],
    [no], [SANITIZE_FLAGS=],
    [address], [SANITIZE_FLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined"],
    [thread], [SANITIZE_FLAGS="-fsanitize=thread"],
    [AC_MSG_ERROR([--enable-sanitize takes address or thread, not '$enable_sanitize'])])
  AS_IF([test -n "$SANITIZE_FLAGS"], [
    SANITIZE_FLAGS="$SANITIZE_FLAGS -fno-omit-frame-pointer"
    flowgelf_saved_cflags=$CFLAGS
    CFLAGS="$CFLAGS $SANITIZE_FLAGS"
    AC_MSG_CHECKING([whether $CC can link with $SANITIZE_FLAGS])
    AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])], [AC_MSG_RESULT([yes])],
      [AC_MSG_RESULT([no])
       AC_MSG_ERROR([the sanitizer's run-time library is missing (Fedora, RHEL: libasan libubsan libtsan)])])
    CFLAGS=$flowgelf_saved_cflags
  ])
  AC_SUBST([SANITIZE_FLAGS])
  AM_CONDITIONAL([SANITIZE_THREAD], [test "x$enable_sanitize" = xthread])
])

# FLOWGELF_WARNINGS: WARN_CFLAGS holds those of the wanted warnings that the compiler knows.
AC_DEFUN([FLOWGELF_WARNINGS], [
  AC_ARG_ENABLE([werror],
    [AS_HELP_STRING([--enable-werror], [make every compiler warning an error])],
    [], [enable_werror=no])
  WARN_CFLAGS=
  flowgelf_saved_cflags=$CFLAGS
  for flag in -Wall -Wextra -Wshadow -Wstrict-prototypes -Wold-style-definition \
      -Wpointer-arith -Wwrite-strings -Wundef -Wformat=2 -Wno-format-nonliteral; do
    CFLAGS="$flowgelf_saved_cflags -Werror $flag"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])], [WARN_CFLAGS="$WARN_CFLAGS $flag"])
  done
  CFLAGS=$flowgelf_saved_cflags
  AS_IF([test "x$enable_werror" = xyes], [WARN_CFLAGS="$WARN_CFLAGS -Werror"])
  AC_SUBST([WARN_CFLAGS])
])
