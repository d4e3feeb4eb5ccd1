/* ssl.c - OpenSSL's ciphers and digests over blocks of 16 KiB, and signatures: what `openssl speed` measures
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>

#include "workload.h"

enum { BLOCK = 16384, TAG = 16 };

static unsigned char block[BLOCK + TAG];

static void need(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "%s: %s\n", what, ERR_error_string(ERR_get_error(), NULL));
        exit(1);
    }
}

/* Each block is a message of its own, with its tag. */
static void seal(const EVP_CIPHER *cipher, long n)
{
    static const unsigned char key[32] = {1}, nonce[12] = {2};
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int length;
    need(c && EVP_EncryptInit_ex(c, cipher, NULL, key, nonce), "EVP_EncryptInit_ex");
    for (long i = 0; i < n; i++)
        need(EVP_EncryptInit_ex(c, NULL, NULL, NULL, nonce) &&
                 EVP_EncryptUpdate(c, block, &length, block, BLOCK) &&
                 EVP_EncryptFinal_ex(c, block + BLOCK, &length) &&
                 EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TAG, block + BLOCK),
             "encrypt");
    EVP_CIPHER_CTX_free(c);
}

static void run_aes_gcm(long n)
{
    seal(EVP_aes_128_gcm(), n);
}

static void run_chacha20(long n)
{
    seal(EVP_chacha20_poly1305(), n);
}

static void run_sha256(long n)
{
    for (long i = 0; i < n; i++)
        need(EVP_Digest(block, BLOCK, block, NULL, EVP_sha256(), NULL), "EVP_Digest");
}

static EVP_PKEY *key;

static void make_key(void)
{
    key = EVP_RSA_gen(2048);
    need(key != NULL, "EVP_RSA_gen");
}

static void run_rsa(long n)
{
    unsigned char signature[256];
    static const unsigned char digest[32] = {3};
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
    need(c && EVP_PKEY_sign_init(c) > 0, "EVP_PKEY_sign_init");
    for (long i = 0; i < n; i++) {
        size_t size = sizeof(signature);
        need(EVP_PKEY_sign(c, signature, &size, digest, sizeof(digest)) > 0, "EVP_PKEY_sign");
    }
    EVP_PKEY_CTX_free(c);
}

const struct workload workloads[] = {
    {"aes-128-gcm", run_aes_gcm, NULL},
    {"sha256", run_sha256, NULL},
    {"chacha20-poly1305", run_chacha20, NULL},
    {"rsa2048", run_rsa, make_key},
    {NULL, NULL, NULL},
};
