/* test.h - what a unit test needs: CHECK, CHECK_EQ, TEST_DONE */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A test is a program. It goes on after a failed check, so that one run shows all of them, and ends with
 * `return TEST_DONE();` in main: a line with the counts and status 0, or status 1 if a check failed (or none
 * ran). Values are evaluated once.
 */
#ifndef UNIT_TEST_H
#define UNIT_TEST_H

#include <stdio.h>
#include <string.h>

static unsigned test_checks, test_failures;

__attribute__((unused)) static void test_result(int good, const char *file, int line, const char *what)
{
    test_checks++;
    if (good)
        return;
    test_failures++;
    printf("%s:%d: %s: expected true, got false\n", file, line, what);
}

__attribute__((unused)) static void test_equal(unsigned long long got, unsigned long long want,
                                               const char *file, int line, const char *what)
{
    test_checks++;
    if (got == want)
        return;
    test_failures++;
    printf("%s:%d: %s: expected %#llx (%lld), got %#llx (%lld)\n", file, line, what, want, (long long)want,
           got, (long long)got);
}

__attribute__((unused)) static void test_equal_str(const char *got, const char *want, const char *file,
                                                   int line, const char *what)
{
    test_checks++;
    if (got && want && strcmp(got, want) == 0)
        return;
    test_failures++;
    printf("%s:%d: %s: expected \"%s\", got \"%s\"\n", file, line, what, want ? want : "(null)",
           got ? got : "(null)");
}

__attribute__((unused)) static int test_done(void)
{
    if (test_failures || !test_checks) {
        printf("%u of %u checks failed\n", test_failures, test_checks);
        return 1;
    }
    printf("ok %u\n", test_checks);
    return 0;
}

#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

/* First in the main of a test that has a guest's vector state live in the CPU. */
#define TEST_NEEDS_VECTORS()                                                                  \
    do {                                                                                      \
        if (SANITIZED) {                                                                      \
            printf("the sanitizer's runtime uses the vector registers that are live here\n"); \
            return 77;                                                                        \
        }                                                                                     \
    } while (0)

#define CHECK(cond) test_result(!!(cond), __FILE__, __LINE__, #cond)
/* Any integer or pointer. */
#define CHECK_EQ(got, want) \
    test_equal((unsigned long long)(got), (unsigned long long)(want), __FILE__, __LINE__, #got)
#define CHECK_STR(got, want) test_equal_str(got, want, __FILE__, __LINE__, #got)
#define TEST_DONE()          test_done()

#endif
