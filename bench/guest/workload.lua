-- workload.lua - calls, tables, strings
-- SPDX-License-Identifier: GPL-2.0-or-later
local function fib(n)
  if n < 2 then return n end
  return fib(n - 1) + fib(n - 2)
end
local t, s = {}, 0
for i = 1, 6000000 do t[i % 5003] = (t[i % 5003] or 0) + i end
for _, v in pairs(t) do s = s + v end
local b = {}
for i = 1, 200000 do b[#b + 1] = tostring(i) end
local str, c = table.concat(b, ","), 0
for w in str:gmatch("%d+") do c = c + #w end
table.sort(b)
print(fib(31), s, c, #str)
