// Stands before a C++ program that is judged by calls or by test code: what LeetCode's own runner includes.
#include <bits/stdc++.h>
#include <unistd.h>

using namespace std;
