"""How the `tokenizers` package sees Unicode, as tables.

Categories are those of Unicode 8.0, decompositions of 9.0, lower case of 16.0, and no `unicodedata` has all three.
tests/scripts/make_unicode8.py writes these tables from the answers of tokenizers 0.23.3 for every code point. A table
lists the code points (hexadecimal) at which the answer changes. It is no before the first.
"""


def _bounds(text):
    return [int(number, 16) for number in text.split()]


def _runs(text):
    runs = [run.split(",") for run in text.split()]
    return [(int(first, 16), int(last, 16), int(step), int(shift)) for first, last, step, shift in runs]


# control, format and private characters, NUL and U+FFFD: cleaning leaves them out
DROPPED = _bounds("""
    0 9 b d e 20 7f a0 ad ae 600 606 61c 61d 6dd 6de 70f 710 180e 180f 200b 2010 202a 202f 2060 2065 2066 2070 e000
    f900 feff ff00 fff9 fffc fffd fffe 110bd 110be 1bca0 1bca4 1d173 1d17b e0001 e0002 e0020 e0080 f0000 ffffe
    100000 10fffe""")

# white space that cleaning keeps, as a plain space
SPACES = _bounds("""
    9 b d e 20 21 a0 a1 1680 1681 2000 200b 2028 202a 202f 2030 205f 2060 3000 3001""")

# Chinese characters: a space is put on both sides of each
CJK = _bounds("""
    3400 4dc0 4e00 a000 f900 fb00 20000 2a6e0 2a700 2b820 2b920 2ceb0 2f800 2fa20""")

# nonspacing marks: stripping accents leaves them out
MARKS = _bounds("""
    300 370 483 488 591 5be 5bf 5c0 5c1 5c3 5c4 5c6 5c7 5c8 610 61b 64b 660 670 671 6d6 6dd 6df 6e5 6e7 6e9 6ea 6ee
    711 712 730 74b 7a6 7b1 7eb 7f4 816 81a 81b 824 825 828 829 82e 859 85c 8e3 903 93a 93b 93c 93d 941 949 94d 94e
    951 958 962 964 981 982 9bc 9bd 9c1 9c5 9cd 9ce 9e2 9e4 a01 a03 a3c a3d a41 a43 a47 a49 a4b a4e a51 a52 a70 a72
    a75 a76 a81 a83 abc abd ac1 ac6 ac7 ac9 acd ace ae2 ae4 b01 b02 b3c b3d b3f b40 b41 b45 b4d b4e b56 b57 b62 b64
    b82 b83 bc0 bc1 bcd bce c00 c01 c3e c41 c46 c49 c4a c4e c55 c57 c62 c64 c81 c82 cbc cbd cbf cc0 cc6 cc7 ccc cce
    ce2 ce4 d01 d02 d41 d45 d4d d4e d62 d64 dca dcb dd2 dd5 dd6 dd7 e31 e32 e34 e3b e47 e4f eb1 eb2 eb4 eba ebb ebd
    ec8 ece f18 f1a f35 f36 f37 f38 f39 f3a f71 f7f f80 f85 f86 f88 f8d f98 f99 fbd fc6 fc7 102d 1031 1032 1038 1039
    103b 103d 103f 1058 105a 105e 1061 1071 1075 1082 1083 1085 1087 108d 108e 109d 109e 135d 1360 1712 1715 1732
    1735 1752 1754 1772 1774 17b4 17b6 17b7 17be 17c6 17c7 17c9 17d4 17dd 17de 180b 180e 18a9 18aa 1920 1923 1927
    1929 1932 1933 1939 193c 1a17 1a19 1a1b 1a1c 1a56 1a57 1a58 1a5f 1a60 1a61 1a62 1a63 1a65 1a6d 1a73 1a7d 1a7f
    1a80 1ab0 1abe 1b00 1b04 1b34 1b35 1b36 1b3b 1b3c 1b3d 1b42 1b43 1b6b 1b74 1b80 1b82 1ba2 1ba6 1ba8 1baa 1bab
    1bae 1be6 1be7 1be8 1bea 1bed 1bee 1bef 1bf2 1c2c 1c34 1c36 1c38 1cd0 1cd3 1cd4 1ce1 1ce2 1ce9 1ced 1cee 1cf4
    1cf5 1cf8 1cfa 1dc0 1df6 1dfc 1e00 20d0 20dd 20e1 20e2 20e5 20f1 2cef 2cf2 2d7f 2d80 2de0 2e00 302a 302e 3099
    309b a66f a670 a674 a67e a69e a6a0 a6f0 a6f2 a802 a803 a806 a807 a80b a80c a825 a827 a8c4 a8c5 a8e0 a8f2 a926
    a92e a947 a952 a980 a983 a9b3 a9b4 a9b6 a9ba a9bc a9bd a9e5 a9e6 aa29 aa2f aa31 aa33 aa35 aa37 aa43 aa44 aa4c
    aa4d aa7c aa7d aab0 aab1 aab2 aab5 aab7 aab9 aabe aac0 aac1 aac2 aaec aaee aaf6 aaf7 abe5 abe6 abe8 abe9 abed
    abee fb1e fb1f fe00 fe10 fe20 fe30 101fd 101fe 102e0 102e1 10376 1037b 10a01 10a04 10a05 10a07 10a0c 10a10 10a38
    10a3b 10a3f 10a40 10ae5 10ae7 11001 11002 11038 11047 1107f 11082 110b3 110b7 110b9 110bb 11100 11103 11127
    1112c 1112d 11135 11173 11174 11180 11182 111b6 111bf 111ca 111cd 1122f 11232 11234 11235 11236 11238 112df
    112e0 112e3 112eb 11300 11302 1133c 1133d 11340 11341 11366 1136d 11370 11375 114b3 114b9 114ba 114bb 114bf
    114c1 114c2 114c4 115b2 115b6 115bc 115be 115bf 115c1 115dc 115de 11633 1163b 1163d 1163e 1163f 11641 116ab
    116ac 116ad 116ae 116b0 116b6 116b7 116b8 1171d 11720 11722 11726 11727 1172c 16af0 16af5 16b30 16b37 16f8f
    16f93 1bc9d 1bc9f 1d167 1d16a 1d17b 1d183 1d185 1d18c 1d1aa 1d1ae 1d242 1d245 1da00 1da37 1da3b 1da6d 1da75
    1da76 1da84 1da85 1da9b 1daa0 1daa1 1dab0 1e8d0 1e8d7 e0100 e01f0""")

# punctuation: a word of its own
PUNCTUATION = _bounds("""
    21 30 3a 41 5b 61 7b 7f a1 a2 a7 a8 ab ac b6 b8 bb bc bf c0 37e 37f 387 388 55a 560 589 58b 5be 5bf 5c0 5c1 5c3
    5c4 5c6 5c7 5f3 5f5 609 60b 60c 60e 61b 61c 61e 620 66a 66e 6d4 6d5 700 70e 7f7 7fa 830 83f 85e 85f 964 966 970
    971 af0 af1 df4 df5 e4f e50 e5a e5c f04 f13 f14 f15 f3a f3e f85 f86 fd0 fd5 fd9 fdb 104a 1050 10fb 10fc 1360
    1369 1400 1401 166d 166f 169b 169d 16eb 16ee 1735 1737 17d4 17d7 17d8 17db 1800 180b 1944 1946 1a1e 1a20 1aa0
    1aa7 1aa8 1aae 1b5a 1b61 1bfc 1c00 1c3b 1c40 1c7e 1c80 1cc0 1cc8 1cd3 1cd4 2010 2028 2030 2044 2045 2052 2053
    205f 207d 207f 208d 208f 2308 230c 2329 232b 2768 2776 27c5 27c7 27e6 27f0 2983 2999 29d8 29dc 29fc 29fe 2cf9
    2cfd 2cfe 2d00 2d70 2d71 2e00 2e2f 2e30 2e43 3001 3004 3008 3012 3014 3020 3030 3031 303d 303e 30a0 30a1 30fb
    30fc a4fe a500 a60d a610 a673 a674 a67e a67f a6f2 a6f8 a874 a878 a8ce a8d0 a8f8 a8fb a8fc a8fd a92e a930 a95f
    a960 a9c1 a9ce a9de a9e0 aa5c aa60 aade aae0 aaf0 aaf2 abeb abec fd3e fd40 fe10 fe1a fe30 fe53 fe54 fe62 fe63
    fe64 fe68 fe69 fe6a fe6c ff01 ff04 ff05 ff0b ff0c ff10 ff1a ff1c ff1f ff21 ff3b ff3e ff3f ff40 ff5b ff5c ff5d
    ff5e ff5f ff66 10100 10103 1039f 103a0 103d0 103d1 1056f 10570 10857 10858 1091f 10920 1093f 10940 10a50 10a59
    10a7f 10a80 10af0 10af7 10b39 10b40 10b99 10b9d 11047 1104e 110bb 110bd 110be 110c2 11140 11144 11174 11176
    111c5 111ca 111cd 111ce 111db 111dc 111dd 111e0 11238 1123e 112a9 112aa 114c6 114c7 115c1 115d8 11641 11644
    1173c 1173f 12470 12475 16a6e 16a70 16af5 16af6 16b37 16b3c 16b44 16b45 1bc9f 1bca0 1da87 1da8c""")

# characters that decompose, each as `unicodedata` has it
DECOMPOSED = _bounds("""
    c0 c6 c7 d0 d1 d7 d9 de e0 e6 e7 f0 f1 f7 f9 fe ff 110 112 126 128 131 134 138 139 13f 143 149 14c 152 154 166
    168 17f 1a0 1a2 1af 1b1 1cd 1dd 1de 1e4 1e6 1f1 1f4 1f6 1f8 21c 21e 220 226 234 340 342 343 345 374 375 37e 37f
    385 38b 38c 38d 38e 391 3aa 3b1 3ca 3cf 3d3 3d5 400 402 403 404 407 408 40c 40f 419 41a 439 43a 450 452 453 454
    457 458 45c 45f 476 478 4c1 4c3 4d0 4d4 4d6 4d8 4da 4e0 4e2 4e8 4ea 4f6 4f8 4fa 622 627 6c0 6c1 6c2 6c3 6d3 6d4
    929 92a 931 932 934 935 958 960 9cb 9cd 9dc 9de 9df 9e0 a33 a34 a36 a37 a59 a5c a5e a5f b48 b49 b4b b4d b5c b5e
    b94 b95 bca bcd c48 c49 cc0 cc1 cc7 cc9 cca ccc d4a d4d dda ddb ddc ddf f43 f44 f4d f4e f52 f53 f57 f58 f5c f5d
    f69 f6a f73 f74 f75 f77 f78 f79 f81 f82 f93 f94 f9d f9e fa2 fa3 fa7 fa8 fac fad fb9 fba 1026 1027 1b06 1b07 1b08
    1b09 1b0a 1b0b 1b0c 1b0d 1b0e 1b0f 1b12 1b13 1b3b 1b3c 1b3d 1b3e 1b40 1b42 1b43 1b44 1e00 1e9a 1e9b 1e9c 1ea0
    1efa 1f00 1f16 1f18 1f1e 1f20 1f46 1f48 1f4e 1f50 1f58 1f59 1f5a 1f5b 1f5c 1f5d 1f5e 1f5f 1f7e 1f80 1fb5 1fb6
    1fbd 1fbe 1fbf 1fc1 1fc5 1fc6 1fd4 1fd6 1fdc 1fdd 1ff0 1ff2 1ff5 1ff6 1ffe 2000 2002 2126 2127 212a 212c 219a
    219c 21ae 21af 21cd 21d0 2204 2205 2209 220a 220c 220d 2224 2225 2226 2227 2241 2242 2244 2245 2247 2248 2249
    224a 2260 2261 2262 2263 226d 2272 2274 2276 2278 227a 2280 2282 2284 2286 2288 228a 22ac 22b0 22e0 22e4 22ea
    22ee 2329 232b 2adc 2add 304c 304d 304e 304f 3050 3051 3052 3053 3054 3055 3056 3057 3058 3059 305a 305b 305c
    305d 305e 305f 3060 3061 3062 3063 3065 3066 3067 3068 3069 306a 3070 3072 3073 3075 3076 3078 3079 307b 307c
    307e 3094 3095 309e 309f 30ac 30ad 30ae 30af 30b0 30b1 30b2 30b3 30b4 30b5 30b6 30b7 30b8 30b9 30ba 30bb 30bc
    30bd 30be 30bf 30c0 30c1 30c2 30c3 30c5 30c6 30c7 30c8 30c9 30ca 30d0 30d2 30d3 30d5 30d6 30d8 30d9 30db 30dc
    30de 30f4 30f5 30f7 30fb 30fe 30ff ac00 d7a4 f900 fa0e fa10 fa11 fa12 fa13 fa15 fa1f fa20 fa21 fa22 fa23 fa25
    fa27 fa2a fa6e fa70 fada fb1d fb1e fb1f fb20 fb2a fb37 fb38 fb3d fb3e fb3f fb40 fb42 fb43 fb45 fb46 fb4f 1109a
    1109b 1109c 1109d 110ab 110ac 1112e 11130 1134b 1134d 114bb 114bd 114be 114bf 115ba 115bc 1d15e 1d165 1d1bb
    1d1c1 2f800 2fa1e""")

# marks that are sorted by combining class, each of the class that `unicodedata` has
COMBINING = _bounds("""
    300 340 342 343 345 34f 350 370 483 488 591 5be 5bf 5c0 5c1 5c3 5c4 5c6 5c7 5c8 610 61b 64b 660 670 671 6d6 6dd
    6df 6e5 6e7 6e9 6ea 6ee 711 712 730 74b 7eb 7f4 816 81a 81b 824 825 828 829 82e 859 85c 8d4 8e2 8e3 900 93c 93d
    94d 94e 951 955 9bc 9bd 9cd 9ce a3c a3d a4d a4e abc abd acd ace b3c b3d b4d b4e bcd bce c4d c4e c55 c57 cbc cbd
    ccd cce d4d d4e dca dcb e38 e3b e48 e4c eb8 eba ec8 ecc f18 f1a f35 f36 f37 f38 f39 f3a f71 f73 f74 f75 f7a f7e
    f80 f81 f82 f85 f86 f88 fc6 fc7 1037 1038 1039 103b 108d 108e 135d 1360 1714 1715 1734 1735 17d2 17d3 17dd 17de
    18a9 18aa 1939 193c 1a17 1a19 1a60 1a61 1a75 1a7d 1a7f 1a80 1ab0 1abe 1b34 1b35 1b44 1b45 1b6b 1b74 1baa 1bac
    1be6 1be7 1bf2 1bf4 1c37 1c38 1cd0 1cd3 1cd4 1ce1 1ce2 1ce9 1ced 1cee 1cf4 1cf5 1cf8 1cfa 1dc0 1df6 1dfb 1e00
    20d0 20dd 20e1 20e2 20e5 20f1 2cef 2cf2 2d7f 2d80 2de0 2e00 302a 3030 3099 309b a66f a670 a674 a67e a69e a6a0
    a6f0 a6f2 a806 a807 a8c4 a8c5 a8e0 a8f2 a92b a92e a953 a954 a9b3 a9b4 a9c0 a9c1 aab0 aab1 aab2 aab5 aab7 aab9
    aabe aac0 aac1 aac2 aaf6 aaf7 abed abee fb1e fb1f fe20 fe30 101fd 101fe 102e0 102e1 10376 1037b 10a0d 10a0e
    10a0f 10a10 10a38 10a3b 10a3f 10a40 10ae5 10ae7 11046 11047 1107f 11080 110b9 110bb 11100 11103 11133 11135
    11173 11174 111c0 111c1 111ca 111cb 11235 11237 112e9 112eb 1133c 1133d 1134d 1134e 11366 1136d 11370 11375
    11442 11443 11446 11447 114c2 114c4 115bf 115c1 1163f 11640 116b6 116b8 1172b 1172c 11c3f 11c40 16af0 16af5
    16b30 16b37 1bc9e 1bc9f 1d165 1d16a 1d16d 1d173 1d17b 1d183 1d185 1d18c 1d1aa 1d1ae 1d242 1d245 1e000 1e007
    1e008 1e019 1e01b 1e022 1e023 1e025 1e026 1e02b 1e8d0 1e8d7 1e944 1e94b""")

# first, last, step, distance to the lower case (one more has a lower case of two characters: U+0130)
LOWER_RUNS = _runs("""
    41,5a,1,32 c0,d6,1,32 d8,de,1,32 100,12e,2,1 132,136,2,1 139,147,2,1 14a,176,2,1 178,178,1,-121 179,17d,2,1
    181,181,1,210 182,184,2,1 186,186,1,206 187,187,1,1 189,18a,1,205 18b,18b,1,1 18e,18e,1,79 18f,18f,1,202
    190,190,1,203 191,191,1,1 193,193,1,205 194,194,1,207 196,196,1,211 197,197,1,209 198,198,1,1 19c,19c,1,211
    19d,19d,1,213 19f,19f,1,214 1a0,1a4,2,1 1a6,1a6,1,218 1a7,1a7,1,1 1a9,1a9,1,218 1ac,1ac,1,1 1ae,1ae,1,218
    1af,1af,1,1 1b1,1b2,1,217 1b3,1b5,2,1 1b7,1b7,1,219 1b8,1b8,1,1 1bc,1bc,1,1 1c4,1c4,1,2 1c5,1c5,1,1 1c7,1c7,1,2
    1c8,1c8,1,1 1ca,1ca,1,2 1cb,1db,2,1 1de,1ee,2,1 1f1,1f1,1,2 1f2,1f4,2,1 1f6,1f6,1,-97 1f7,1f7,1,-56 1f8,21e,2,1
    220,220,1,-130 222,232,2,1 23a,23a,1,10795 23b,23b,1,1 23d,23d,1,-163 23e,23e,1,10792 241,241,1,1 243,243,1,-195
    244,244,1,69 245,245,1,71 246,24e,2,1 370,372,2,1 376,376,1,1 37f,37f,1,116 386,386,1,38 388,38a,1,37
    38c,38c,1,64 38e,38f,1,63 391,3a1,1,32 3a3,3ab,1,32 3cf,3cf,1,8 3d8,3ee,2,1 3f4,3f4,1,-60 3f7,3f7,1,1
    3f9,3f9,1,-7 3fa,3fa,1,1 3fd,3ff,1,-130 400,40f,1,80 410,42f,1,32 460,480,2,1 48a,4be,2,1 4c0,4c0,1,15
    4c1,4cd,2,1 4d0,52e,2,1 531,556,1,48 10a0,10c5,1,7264 10c7,10c7,1,7264 10cd,10cd,1,7264 13a0,13ef,1,38864
    13f0,13f5,1,8 1c89,1c89,1,1 1c90,1cba,1,-3008 1cbd,1cbf,1,-3008 1e00,1e94,2,1 1e9e,1e9e,1,-7615 1ea0,1efe,2,1
    1f08,1f0f,1,-8 1f18,1f1d,1,-8 1f28,1f2f,1,-8 1f38,1f3f,1,-8 1f48,1f4d,1,-8 1f59,1f5f,2,-8 1f68,1f6f,1,-8
    1f88,1f8f,1,-8 1f98,1f9f,1,-8 1fa8,1faf,1,-8 1fb8,1fb9,1,-8 1fba,1fbb,1,-74 1fbc,1fbc,1,-9 1fc8,1fcb,1,-86
    1fcc,1fcc,1,-9 1fd8,1fd9,1,-8 1fda,1fdb,1,-100 1fe8,1fe9,1,-8 1fea,1feb,1,-112 1fec,1fec,1,-7 1ff8,1ff9,1,-128
    1ffa,1ffb,1,-126 1ffc,1ffc,1,-9 2126,2126,1,-7517 212a,212a,1,-8383 212b,212b,1,-8262 2132,2132,1,28
    2160,216f,1,16 2183,2183,1,1 24b6,24cf,1,26 2c00,2c2f,1,48 2c60,2c60,1,1 2c62,2c62,1,-10743 2c63,2c63,1,-3814
    2c64,2c64,1,-10727 2c67,2c6b,2,1 2c6d,2c6d,1,-10780 2c6e,2c6e,1,-10749 2c6f,2c6f,1,-10783 2c70,2c70,1,-10782
    2c72,2c72,1,1 2c75,2c75,1,1 2c7e,2c7f,1,-10815 2c80,2ce2,2,1 2ceb,2ced,2,1 2cf2,2cf2,1,1 a640,a66c,2,1
    a680,a69a,2,1 a722,a72e,2,1 a732,a76e,2,1 a779,a77b,2,1 a77d,a77d,1,-35332 a77e,a786,2,1 a78b,a78b,1,1
    a78d,a78d,1,-42280 a790,a792,2,1 a796,a7a8,2,1 a7aa,a7aa,1,-42308 a7ab,a7ab,1,-42319 a7ac,a7ac,1,-42315
    a7ad,a7ad,1,-42305 a7ae,a7ae,1,-42308 a7b0,a7b0,1,-42258 a7b1,a7b1,1,-42282 a7b2,a7b2,1,-42261 a7b3,a7b3,1,928
    a7b4,a7c2,2,1 a7c4,a7c4,1,-48 a7c5,a7c5,1,-42307 a7c6,a7c6,1,-35384 a7c7,a7c9,2,1 a7cb,a7cb,1,-42343
    a7cc,a7da,2,1 a7dc,a7dc,1,-42561 a7f5,a7f5,1,1 ff21,ff3a,1,32 10400,10427,1,40 104b0,104d3,1,40 10570,1057a,1,39
    1057c,1058a,1,39 1058c,10592,1,39 10594,10595,1,39 10c80,10cb2,1,64 10d50,10d65,1,32 118a0,118bf,1,32
    16e40,16e5f,1,32 16ea0,16eb8,1,27 1e900,1e921,1,34""")
