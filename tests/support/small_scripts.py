"""Small scripts, each for one function, conversion or error: run on us and on redis-server, which is right.

KEYS is {k}, ARGV is {a1, a2}; k holds the text v before each of them.
"""

SCRIPTS = r"""
return 1
return {1,2,'a',{3,false,true}}
return redis.call('set',KEYS[1],ARGV[1])
return redis.call('get',KEYS[1])
return redis.pcall('incr',KEYS[1])
return redis.call('incr',KEYS[1])
local r=redis.call('incr',KEYS[1]) return r
return redis.call('incr',1.5)
return cjson.encode({1,2,{a=1}})
return cjson.encode({1,2,{}})
return cjson.encode({1/0})
return cjson.encode({0/0})
return cjson.encode({[1]=1,[100]=2})
return cjson.encode({[1]=1,[3]=2})
return cjson.encode({[1.5]=1})
return cjson.encode({[true]=1})
return cjson.encode(print)
return cjson.encode(redis.call)
return cjson.encode(cjson.null)
return cjson.encode(nil)
return cjson.encode()
return cjson.encode(1,2)
local t={} t[1]=t return cjson.encode(t)
return cjson.encode_max_depth()
return {cjson.encode_sparse_array()}
return cjson.encode_keep_buffer()
return tostring(cjson.encode_invalid_numbers())
return tostring(cjson.decode_invalid_numbers())
return cjson.encode_max_depth(0)
return cjson.encode_number_precision(20)
return cjson.decode('{"a":[1,2,{"b":null}]}').a[2]
return cjson.decode('{"a":null}').a == cjson.null
return type(cjson.decode('null'))
return cjson.decode('[1,2')
return cjson.decode('{1:2}')
return cjson.decode('{"a" 2}')
return cjson.decode('{"a":2 "b":3}')
return cjson.decode('[1 2]')
return cjson.decode('[1,]')
return cjson.decode('{"a":1,}')
return cjson.decode('nul')
return cjson.decode('"abc')
return cjson.decode('"a\\x"')
return cjson.decode('"\\u00e9\\ud83d\\ude00"')
return cjson.decode('"\\ud800"')
return cjson.decode('"\\u12"')
return cjson.decode('1 2')
return cjson.decode('')
return cjson.decode(nil)
return cjson.decode(5)
return cjson.decode('\0\0')
return cjson.decode('a')
return cjson.decode('+1')
return cjson.decode('0x10')
return tostring(cjson.decode('nan'))
return tostring(cjson.decode('-inf'))
return tostring(cjson.decode('infinity'))
return cjson.decode('01')
return cjson.decode('1e3')
return tostring(cjson.decode('1e500'))
return tostring(cjson.decode('[0.1]')[1])
return #cjson.decode('[1,null,3]')
return cjson.decode('[true,false]')
return cjson.decode(string.rep('[',1001)..string.rep(']',1001))
return cjson.decode('"'..string.char(200,10)..'"')
return cjson.encode(cjson.decode('[1,2,3,{"a":{}}]'))
return cmsgpack.pack({1,2,{a='x'}},nil,true,false,1.5,-1,-33,200,70000,5000000000,-200,-40000,-3e9,1e300)
return cmsgpack.pack({})
return cmsgpack.pack({[1]=1,[3]=3})
return cmsgpack.pack(string.rep('a',40),string.rep('b',300))
return cmsgpack.pack()
return {cmsgpack.unpack(cmsgpack.pack(1,'a',{1,2}))}
return cmsgpack.unpack(cmsgpack.pack({1,2,{a='x'}}))[3].a
return {cmsgpack.unpack_one(cmsgpack.pack(1,2,3))}
return {cmsgpack.unpack_one(cmsgpack.pack(1,2,3),1)}
return {cmsgpack.unpack_limit(cmsgpack.pack(1,2,3),2)}
return {cmsgpack.unpack_limit(cmsgpack.pack(1,2,3),2,-1)}
return {cmsgpack.unpack_limit(cmsgpack.pack(1,2,3),2,10)}
return cmsgpack.unpack(5)
return cmsgpack._NAME
local t={} t.x=t return #cmsgpack.pack(t)
return {bit.tobit(0xffffffff),bit.bnot(0),bit.band(7,3,2),bit.bor(1,2,4),bit.bxor(5,3)}
return {bit.lshift(1,31),bit.rshift(-1,28),bit.arshift(-8,1)}
return {bit.rol(0x12345678,8),bit.ror(0x12345678,8),bit.bswap(0x12345678)}
return {bit.tohex(255),bit.tohex(255,4),bit.tohex(255,-4),bit.tohex(-1,100)}
return {bit.tobit(1.5),bit.tobit(2.5),bit.tobit(2^40+3),bit.tobit('7')}
return bit.band()
return bit.band({})
return bit.lshift(1)
return struct.pack('>I2',258)
return struct.pack('<i4hbx',1,2,3)
return struct.pack('!8bd',1,2.5)
return struct.pack('f',1.5)
return struct.pack('s','abc')
return struct.pack('c2','abc')
return struct.pack('c5','abc')
return struct.pack('c0','abc')
return struct.pack('Q',1)
return struct.pack('i',{})
return struct.pack('i40',1)
return struct.pack('!3i',1)
return struct.pack('>Lc0',3,'abc')
return {struct.unpack('>I2',struct.pack('>I2',258))}
return {struct.unpack('<ihb',struct.pack('<ihb',-1,-2,-3))}
return {struct.unpack('>Bc0',struct.pack('>Bc0',3,'abc'))}
return {struct.unpack('s','abc')}
return {struct.unpack('s','abc\0def')}
return {struct.unpack('i','ab')}
return {struct.unpack('i','abcdefgh',5)}
return {struct.unpack('i','abcdefgh',0)}
return {struct.unpack('c0','abc')}
return struct.size('i4h')
return struct.size('s')
return struct.size('c0')
return struct.size('!8bd')
return foo
foo=1
string.x=1
local a=string a.x=1
rawset(_G,'x',1)
rawset(string,'x',1)
setmetatable(_G,{})
setmetatable(string,{})
getmetatable(_G).__index=nil
return type(getmetatable(_G))
return type(getmetatable(''))
getmetatable('').__index=nil
getmetatable('').__index.x=1
table.insert(string,1)
_G.x=1
return type(_G)
return type(_G._G)
return _G.redis==redis
return tostring(_G.nonexist)
return type(io)
return type(debug)
return type(package)
return type(require)
return type(print)
return type(dofile)
return type(loadfile)
return type(python)
return type(coroutine.create)
return type(load)
return loadstring('return 5')()
return loadstring('x x')
return {loadstring('x x')}
return loadstring('return foo')()
local f=load(function() return nil end) return type(f)
return {err='My Err'}
return {err='nospace'}
return {ok='fine'}
return {ok=1}
return redis.error_reply('OOPS')
return redis.error_reply('My Err')
return redis.error_reply('-My Err')
return redis.error_reply('')
return redis.error_reply(1)
return redis.error_reply()
return redis.status_reply('OK')
return redis.status_reply(1)
error('boom')
error('boom',0)
error('boom',2)
error({err='X y'})
error({err='X'})
error(nil)
error(5)
error()
local function f() error('deep') end f()
local function f() return redis.call('incr',KEYS[1]) end f()
return pcall(redis.call,'incr',KEYS[1])
return {pcall(redis.call,'incr',KEYS[1])}
return {pcall(error,{err='A b'})}
return {pcall(error,'plain')}
return {pcall(function() error('plain') end)}
return {pcall(function() error({a=1}) end)}
local ok,e=pcall(redis.call,'incr',KEYS[1]) return e
local ok,e=pcall(redis.call,'incr',KEYS[1]) return type(e)
local e=redis.pcall('incr',KEYS[1]) return e.err
local e=redis.pcall('nosuch') return e.err
local e=redis.pcall('get') return e
redis.call({})
redis.call('get',{})
redis.call('get',nil)
redis.call('get',true)
redis.call('set','x',1.5) return redis.call('get','x')
redis.call('set','x',1e20) return redis.call('get','x')
redis.call('set','x',2^53) return redis.call('get','x')
redis.call('multi')
redis.call('exec')
redis.call('watch','a')
redis.call('subscribe','a')
redis.call('eval','return 1',0)
redis.call('client','id')
redis.call('config','get','x')
redis.call('select',3) redis.call('set','in3','x') return redis.call('dbsize')
return redis.call('exists','in3')
return redis.call('ping')
return redis.call('ping','x')
return redis.call('echo','x')
return redis.call('time')[1] ~= nil
return redis.call('type',KEYS[1])
return redis.call('type',KEYS[1]).ok
return redis.call('hset','h','a',1,'b',2)
return redis.call('hgetall','h')
redis.setresp(3) return redis.call('hgetall','h')
redis.setresp(3) return redis.call('hgetall','h').map.a
redis.call('sadd','st','a') redis.setresp(3) return redis.call('smembers','st')
redis.call('sadd','st','a') redis.setresp(3) return redis.call('smembers','st').set.a
redis.call('zadd','z',1.5,'a',2,'b') return redis.call('zscore','z','a')
redis.setresp(3) return redis.call('zscore','z','a')
redis.setresp(3) return redis.call('zscore','z','a').double
redis.setresp(3) return redis.call('zrange','z',0,-1,'withscores')
return redis.call('zrange','z',0,-1,'withscores')
redis.setresp(3) return redis.call('get','nokey')
redis.setresp(3) return type(redis.call('get','nokey'))
return type(redis.call('get','nokey'))
redis.setresp(3) return true
redis.setresp(3) return false
redis.setresp(3) return {true,false,nil}
return true
return false
redis.setresp(4)
redis.setresp()
redis.setresp('3') return 1
redis.set_repl(99)
redis.set_repl(redis.REPL_ALL) return 1
return {redis.REPL_NONE,redis.REPL_AOF,redis.REPL_SLAVE,redis.REPL_REPLICA,redis.REPL_ALL}
return redis.replicate_commands()
return redis.breakpoint()
return redis.acl_check_cmd('set','a','b')
return redis.acl_check_cmd('nosuch')
return redis.acl_check_cmd()
redis.log(redis.LOG_DEBUG,'x') return {redis.LOG_DEBUG,redis.LOG_VERBOSE,redis.LOG_NOTICE,redis.LOG_WARNING}
redis.log('x')
redis.log('x','y')
redis.log(9,'y')
return redis.sha1hex('')
return redis.sha1hex('abc')
return redis.sha1hex(5)
return redis.sha1hex()
return {double=3.5}
return {double=3}
return {big_number='123456789012345678901234567890'}
return {verbatim_string={string='abc',format='txt'}}
return {map={a=1}}
return {set={a=true}}
return {1,{map={a={2}}}}
return {1,nil,3}
return {1,2,x=5}
return {}
return nil
return
return 3.99
return -3.99
return 1e300
return 0/0
return 1/0
return 'a','b'
return function() end
return redis
return {redis.call}
return {{{{}}}}
local t={} for i=1,100 do t={t} end return 1
return #ARGV
return {KEYS[1],ARGV[1],#KEYS,#ARGV}
return KEYS
ARGV[1]='x' return ARGV
KEYS=1
math.randomseed(5) return {math.random(1000),math.random(1000),math.random(1000)}
math.randomseed(-1) return {math.random(1000),math.random(1000)}
return math.random(0)
return math.random(5,1)
return math.random(1,2,3)
return math.random('a')
return math.random({})
return {math.floor(2.5),math.max(1,2),math.huge==1/0}
return string.format('%d %s %5.2f %q','3','x',1.234,'a"b')
return string.rep('ab',3)
return ('x'):rep(3)
return string.find('hello','l')
return {string.find('hello world','(o) (w)')}
return {string.gsub('hello','l','L')}
return string.gsub('hello','(l)(l)','%2%1')
return string.match('key=val','(%w+)=(%w+)')
local r={} for w in string.gmatch('a b c','%a') do r[#r+1]=w end return r
return table.concat({1,2,3},',')
local t={3,1,2} table.sort(t) return t
local t={1} table.insert(t,2) table.insert(t,1,0) return t
local t={1} table.insert(t,1,2,3)
return table.remove({1,2,3})
return unpack({1,2,3})
return {unpack({1,2,3})}
return select('#',1,2,3)
return tostring(nil)
return tonumber('10',16)
return tonumber('0x10')
return tonumber('abc')
return type(tonumber)
return next({})
return rawequal('a','a')
return rawget({a=1},'a')
return #{1,2,3}
return 'a'..1
return 10/4
return 7%3
return 2^10
return not nil
x=
return 1 +
if then
for i=1,10 do
return 'unclosed
#!lua
#!lua flags=no-writes
local x = {} return x.y.z
return nil + 1
return {} .. 'x'
return 'a' < 1
local a = nil a()
string.rep()
string.rep('x',{})
('x'):bad()
return {xpcall(function() error('x') end, function(e) return 'H:'..e end)}
return {coroutine.wrap(function() coroutine.yield(1) return 2 end)()}
local co=coroutine.create(function() return redis.call('get','nokey') end) return {coroutine.resume(co)}
local co=coroutine.create(function() error('in co') end) return {coroutine.resume(co)}
return setfenv(function() return y end,{y=5})()
return getfenv(1)==_G
return getfenv(0)==_G
return getfenv(redis.call)==_G
return type(getfenv(string.rep))
return collectgarbage('count')>0
return gcinfo()>0
return _VERSION
return assert(false)
return assert(false,'msg')
return assert(1,2)
assert(nil,{err='T x'})
local t=setmetatable({},{__index=function() return 7 end}) return t.x
local t=setmetatable({},{__index=function() return 'v' end}) return {t.ok or 'none'}
return setmetatable({},{__index=function(t,k) if k==1 then return 5 end end})
return setmetatable({ok='x'},{})
return redis.call('lpush','l',1,2,3)
return redis.call('lrange','l',0,-1)
return redis.call('lrange','l',0,-1)[2]
return redis.call('object')
return redis.call('object','nosuch')
return redis.call('command','count') > 10
return redis.call('exists','l','z')
return redis.call('SCAN',0)[1]
return redis.call('del','l','z','h','st','x')
return redis.call('xadd','s','1-1','f','v')
return redis.call('xrange','s','-','+')
return redis.call('xread','streams','s','0')
return redis.call('xread','block',0,'streams','s','$')
redis.setresp(3) return redis.call('xread','streams','s','0')
return redis.call('xinfo','stream','s')[2]
return redis.call('incrbyfloat','f',1.5)
return redis.call('getrange','f',0,1)
return redis.call('randomkey') ~= false
return redis.call('spop','nokey')
return redis.call('spop','nokey',3)
return redis.call('lolwut') ~= nil
return redis.call('publish','c','m')
return redis.call('set','k1','v','nx','get')
return redis.REDIS_VERSION_NUM > 0
return type(redis.REDIS_VERSION)
return redis.nosuch
return redis.nosuch()
redis.x=1
cjson.x=1
bit.x=1
math.x=1
return cjson._NAME
return cjson._VERSION
return type(cjson.new().encode)
return pcall(cjson.decode,'x')
return {pcall(cjson.decode,'x')}
return {pcall(string.rep)}
local a={} a[nil]=1
for i=1,3 do redis.call('rpush','rl',i) end return redis.call('llen','rl')
return {redis.call('get','nokey'),redis.call('llen','rl')}
return {pcall(math.randomseed, 0/0)}
return {pcall(math.randomseed, 1/0)}
math.randomseed(2^40+5) return math.random(1000)
math.randomseed(-3) return math.random(1000)
return {pcall(math.random, -5, 2^32+5)}
return {pcall(redis.log, 0/0, 'x')}
return {pcall(redis.setresp, 0/0)}
return {pcall(redis.set_repl, 1/0)}
return {cmsgpack.unpack_limit('abc', 2)}
return {cmsgpack.unpack_one('abc', 1)}
return {cmsgpack.unpack_one('abc', '1')}
return {cmsgpack.unpack_limit('abc', 2.7, 0.9)}
return bit.band(0/0)
return bit.band(1/0)
return struct.pack('i', 0/0)
return struct.pack('l', -1/0)
return bit.tohex(1, 0/0)
return bit.lshift(1, 1e300)
return bit.band(2^53+2)
return bit.band(1e18)
return bit.band(1e20)
return bit.band(-1e17)
return bit.bxor(2^51, 1)
return bit.bxor(-2^51, 1)
return bit.bor(2^52-1.5)
return bit.tobit(0.5)
return bit.tobit(1.5)
return bit.tobit(2147483647.5)
return cjson.encode({1,2,3,nil,5})
return cjson.encode({nil,2})
return cjson.encode({[1]=1,[2]=2,[3]=3})
return cjson.encode({[3]=3,[2]=2,[1]=1})
return cjson.encode({[1]=1,x=2})
return cjson.encode({x=2,[1]=1})
return cjson.encode({function() end,[100]=2})
return cjson.encode({{},{{}},{a={}}})
return cjson.encode({[0]=1})
return cjson.encode({-0, 0, 1e15, 0.1, 999, 1000, 1.5, 123456789012345678})
return cjson.encode(12)
return cjson.encode('a/b')
return cjson.encode(true)
return pcall(cjson.encode, nil)
return cjson.encode({a={b={c={}}}, d=false, e=cjson.null})
local t = {} for i = 1, 2500 do t['k' .. i] = i end return #cjson.encode(t)
local t = {} for i = 1, 2500 do t[i] = {k=i, ['k' .. i]=i} end return redis.sha1hex(cjson.encode(t))
local t = {} for i = 1, 2500 do t[i] = {['q' .. i] = {{}}, s = 'x' .. i} end return #cjson.decode(cjson.encode(t))
local t = {} for i = 1, 2500 do t[i] = 'v' .. i end return redis.sha1hex(cjson.encode(t))
return {pcall(cjson.encode, {a=0/0})}
return {pcall(cjson.encode, {[true]=1})}
return {pcall(cjson.encode, {a=function() end})}
return cjson.encode(cjson.decode('{"a":[1,2,[3,{"b":null}]],"c":{"d":{}},"e":[]}'))
return cjson.encode(cjson.decode('["\\u0000\\u00e9\\ud83d\\ude00"]'))
return {pcall(cjson.decode, '["\\ud83d"]')}
return tostring(cjson.decode('-0'))
return tostring(cjson.decode('[-0]')[1])
return tostring(cjson.decode('12345678901234567890123'))
return cjson.decode('"x"')
return tostring(cjson.decode('null') == cjson.null)
return tostring(cjson.decode('false'))
return #cjson.decode('[' .. ('1,'):rep(9000) .. '1]')
local d = cjson.decode('[' .. ('{"a":1},'):rep(3000) .. '{"a":7}]') return {#d, d[3000].a, d[3001].a}
local d = cjson.decode('{"a":1,"b":[1,2],"a":{"c":3}}') return {d.a.c, #d.b}
return cjson.encode({cmsgpack.unpack(cmsgpack.pack({1,{a=2,b={3}},cjson.encode({4})}))})
return {cmsgpack.unpack('\192\1\192')}
return {cmsgpack.unpack('\146\192\1')}
local a = cmsgpack.unpack('\129\145\1\2') for k, v in pairs(a) do return {k, v} end
return {pcall(cmsgpack.unpack, '\129\192\2')}
local t = {} for i = 1, 100 do t[i] = i end return cmsgpack.pack(unpack(t))
local t = {} for i = 1, 100 do t[i] = i end redis.call('RPUSH', 'l', unpack(t)) return redis.call('LRANGE', 'l', 40, 60)
redis.setresp(3) redis.call('HSET', 'h', 'a', 1) local r = redis.call('HGETALL', 'h') return {r.map.a, cjson.encode(r)}
redis.setresp(3) redis.call('SADD', 's', 'a') return cjson.encode(redis.call('SMEMBERS', 's'))
redis.setresp(3) redis.call('ZADD', 'z', 1.5, 'a') return cjson.encode(redis.call('ZRANGE', 'z', 0, -1, 'WITHSCORES'))
redis.setresp(3) redis.call('XADD', 'x', '1-1', 'a', 'b') return cjson.encode(redis.call('XREAD', 'STREAMS', 'x', '0'))
redis.setresp(3) return {redis.call('MGET', 'no1', 'k', 'no2')}
redis.setresp(3) local r = redis.call('MGET', 'no1', 'k', 'no2') return {tostring(r[1]), r[2], tostring(r[3]), #r}
local r = redis.call('MGET', 'no1', 'k', 'no2') return {tostring(r[1]), r[2], tostring(r[3]), #r}
return cjson.encode(redis.call('XREAD', 'STREAMS', 'x', '0'))
return redis.call('COMMAND', 'INFO', 'nonexist')
return cjson.encode(redis.call('COMMAND', 'GETKEYS', 'GET', 'a'))
return {redis.pcall('LPOS', 'k', 'a'), redis.pcall('NOPE'), redis.status_reply('X')}
return {1, {2, {3, {'x', false, {}}}}, {ok='fine'}, {err='ERR bad'}, 5}
return {map={a=1,b={1,2}}}
return {double=1.5}
local a = cmsgpack.unpack_limit('a', 'x') return a
local a = cmsgpack.unpack_limit('a', 0/0) return a
local a = cmsgpack.unpack_one('a', {}) return a
local a = cmsgpack.unpack_limit('a') return a
local a = math.random(1/0) return a
local a = math.random(2^40) return a
local a = struct.unpack('i', 'aaaa', 0/0) return a
return redis.call('flushall')
""".strip().splitlines()
