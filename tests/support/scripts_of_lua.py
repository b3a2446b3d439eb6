"""More small scripts, as in small_scripts.py: Lua's own library and those that come with it, and their errors."""

SCRIPTS = r"""
return #KEYS..#ARGV
KEYS[1]='zz' return KEYS[1]
KEYS={} return #KEYS
ARGV=5
local KEYS={1} return KEYS[1]
return KEYS[2]
return {KEYS[1],nil,ARGV[2]}
return tostring(redis):sub(1,5)
return tostring(print)
return print('x')
return _G.print
return rawget(_G,'print')
return rawget(_G,'redis')~=nil
return rawset(_G,'x',1)
return rawlen
return table.getn({1,2})
return table.maxn({1,2,[10]=3})
return table.foreach
return table.pack
return string.gfind
return string.byte('a',1,-1)
return math.mod(5,3)
return math.fmod(-5,3)
return math.log10(100)
return math.pi
return math.pow(2,3)
return 5%0
return tostring(5%0)
return tostring(-5%3)
return 1e15
return tostring(1e15)
return tostring(123456789012345678)
return tostring(0.1)
return tostring(1e100)
return tostring(-0)
return 10 == '10'
return '10'+5
return 'a'+5
return #nil
return {}..{}
return {} < {}
return 1 < 'x'
for i=1,'x' do end
for i=1,10,0 do return 'z' end
local a<const> = 5
goto x
return 0x10
return 1//2
return 5 & 3
return ...
return select('#',...)
return loadstring('return ...')(1,2)
return loadstring('x=1')()
return loadstring('\27Lua')
return load('return 1')
return load(5)
return loadstring(5)
return loadstring()
return loadstring(nil)
return dofile('x')
return require('x')
return newproxy
return module
return getfenv
return setfenv
return getmetatable('').__name
return getmetatable({})
return setmetatable({},5)
return setmetatable({},nil)
return setmetatable(5,{})
return unpack({})
return unpack({1,2,3},2)
return {unpack({1,2,3},2,5)}
return unpack(5)
return ipairs(5)
return pairs(nil)
return next({},'x')
return tonumber()
return tonumber('z',36)
return tonumber('1',1)
return tonumber('1e5')
return tonumber('  5  ')
return tonumber('5x')
return tostring()
return type()
return assert()
return assert(nil)
return assert(false,5)
return assert(false,{})
return select(0)
return select(-1,1,2)
return select('x')
return string.format('%d',1.5)
return string.format('%d','x')
return string.format('%s')
return string.format('%y',1)
return string.format('%5s|%-5s|%05d|%x|%X|%o|%c|%e|%g|%q|%%','a','b',5,255,255,8,65,1.5,1.5,'q"\n\0')
return string.format('%i',3)
return string.format('%s',{}):sub(1,6)
return string.format('%s',nil)
return string.format('%s',true)
return string.rep('x',-1)
return string.rep('x',2.5)
return string.sub('hello',2,-2)
return string.sub('hello')
return string.upper('aé')
return string.reverse('abc')
return string.len('a\0b')
return string.char(256)
return string.char(65,66)
return string.find('a.b','.',1,true)
return string.find('abc','b',-1)
return string.find('abc','(')
return string.find('abc','[')
return string.find('abc','%')
return string.gsub('abc','b','%2')
return string.gsub('abc','b',{b='X'})
return string.gsub('abc','%w',function(c) return c..c end)
return string.gsub('abc','b',5)
return string.gsub('abc','b',true)
return string.gsub('abc','','-')
return string.match('2024-01-02','(%d+)-(%d+)-(%d+)')
return {string.match('2024-01-02','(%d+)-(%d+)-(%d+)')}
return string.match('x','()')
return string.match('[[a]]','%b[]')
return string.match('THE (quick) fox','%((%a+)%)')
return string.match('hello','%f[%w]%w+')
return string.gmatch('a','b')()
return table.concat({1,{},3})
return table.concat({1,2,3},',',2,3)
return table.concat({},',')
return table.concat(5)
return table.insert({},1,2,3)
return table.insert(5,1)
return table.insert({})
return table.remove({})
return table.remove({1,2,3},1)
return table.sort({3,1,2})
return table.sort({3,'a'})
local t={5,3,1} table.sort(t,function(a,b) return a>b end) return t
local t={1,2,3} table.sort(t,function(a,b) return true end) return #t
return coroutine.resume(5)
return coroutine.wrap(5)
return coroutine.yield(1)
return coroutine.running()
return cjson.encode({a=1,b='x',c={1,2},d=true})
return cjson.encode('\0\1\31"\\/\127é')
return cjson.encode({[1]='a',['1']='b'})
return cjson.encode(1.0)
return cjson.encode(1e20)
return cjson.encode(0.1)
return cjson.encode(-0.0)
return cjson.encode(123456789)
return cjson.encode(1/3)
cjson.encode_number_precision(3) return cjson.encode(1/3)
cjson.encode_number_precision(14) return cjson.encode(1/3)
return cjson.encode_number_precision(0)
return cjson.encode_number_precision(15)
return cjson.encode_number_precision()
cjson.encode_sparse_array(true) return cjson.encode({[1]=1,[100]=2})
cjson.encode_sparse_array(true,1,1) return cjson.encode({[1]=1,[3]=2})
return cjson.encode_sparse_array(1,2,3)
return cjson.encode_sparse_array('x')
cjson.encode_invalid_numbers(true) return cjson.encode({1/0})
cjson.encode_invalid_numbers('null') return cjson.encode({1/0,0/0})
return cjson.encode_invalid_numbers('x')
cjson.decode_invalid_numbers(false) return cjson.decode('[NaN]')
return cjson.encode_max_depth(2)
cjson.encode_max_depth(2) return cjson.encode({{{}}})
cjson.decode_max_depth(2) return cjson.decode('[[[]]]')
return cjson.decode_max_depth(0)
return cjson.encode_keep_buffer(false)
return cjson.encode_keep_buffer('on')
return cjson.decode_array_with_array_mt(true)
return cjson.empty_array
return cjson.new().encode({1})
return cjson.decode('[1,2,3]',5)
return cjson.decode()
return cjson.decode('{"a":1e400}').a == 1/0
return cjson.decode('"\t"')
return cjson.decode('"\\b\\f\\n\\r\\t\\/\\\\\\""')
return cjson.decode('"\\uD83D\\u0041"')
return cjson.decode('  [ 1 , 2 ]  ')
return cjson.decode('[1.]')
return cjson.decode('[.5]')
return cjson.decode('[-]')
return cjson.decode('[1e]')
return cjson.decode('{"a":tru}')
return cjson.decode("{'a':1}")
return cjson.decode('{a:1}')
return cjson.decode('{}x')
return cjson.decode('[1]]')
return cjson.decode('[\0]')
return cjson.decode('{"":1}')['']
return cmsgpack.pack(1,'a',nil,true,{1,2},{a=1},1.5,-1,-129,70000,2^40)
return cmsgpack.pack(nil)
return cmsgpack.pack(('x'):rep(40))
return cmsgpack.pack(('x'):rep(300))
return #cmsgpack.pack(('x'):rep(70000))
local t={} for i=1,20 do t[i]=i end return cmsgpack.pack(t)
local t={} t.t=t return #cmsgpack.pack(t)
return cmsgpack.unpack('')
return cmsgpack.unpack()
return cmsgpack.unpack('\193')
return cmsgpack.unpack('\220\0')
return {cmsgpack.unpack('\1\2\3')}
return {cmsgpack.unpack_one('\1\2\3')}
return {cmsgpack.unpack_one('\1\2\3',1)}
return {cmsgpack.unpack_one('\1\2\3',5)}
return {cmsgpack.unpack_limit('\1\2\3',2)}
return {cmsgpack.unpack_limit('\1\2\3',-1)}
return {cmsgpack.unpack('\203\63\248\0\0\0\0\0\0')}
return {cmsgpack.unpack('\202\63\192\0\0')}
return {cmsgpack.unpack('\211\255\255\255\255\255\255\255\255')}
return {cmsgpack.unpack('\207\0\0\0\0\255\255\255\255')}
return {cmsgpack.unpack('\196\2ab')}
return cmsgpack._VERSION
return struct.pack('>bBhHiIlL',-1,255,-2,65535,-3,4294967295,-4,5)
return struct.pack('<d>f',1.5,2.5)
return struct.pack('i8',2^40)
return struct.pack('i16',1)
return struct.pack('z','x')
return struct.pack('i')
return struct.pack('i','x')
return struct.pack('c3','ab')
return struct.pack(' i ',1)
return struct.pack('=i',1)
return struct.pack('!i!4hb',1,2,3)
return struct.pack('T',5)
return struct.unpack('>I4','\0\0\1\0')
return {struct.unpack('bb','\1\2\3',2)}
return {struct.unpack('i','abc')}
return {struct.unpack('c0','')}
return {struct.unpack('bc0','\5ab')}
return struct.unpack('i')
return struct.unpack(5,'x')
return {struct.unpack('d',struct.pack('d',1.5))}
return struct.size('bhi')
return struct.size('!bhid')
return struct.size('i5')
return struct.size('z')
return struct.size('iz')
return struct.size('?')
return struct.size('i z?')
local call=redis.call return call('incr',KEYS[1])
local call=redis.pcall return call('incr',KEYS[1])
local function f() local c=redis.call return c('incr',KEYS[1]) end return f()
local c=redis.call local function f() return c('incr',KEYS[1]) end return f()
local t={c=redis.call} return t.c('incr',KEYS[1])
local t={c=redis.call} return t['c']('incr',KEYS[1])
local function loop(n) if n==0 then return 'done' end return loop(n-1) end return loop(100000)
local loop loop=function(n) if n==0 then return 'done' end return loop(n-1) end return loop(100000)
local t={} function t.go(n) if n==0 then return 'done' end return t.go(n-1) end return t.go(100000)
local t={} function t:go(n) if n==0 then return 'done' end return self:go(n-1) end return t:go(100000)
local function a(n,b) if n==0 then return 'done' end return b(n-1) end return a(1,function(n) return 'in '..n end)
return (function() return redis.call('incr',KEYS[1]) end)()
return (function(...) return select('#',...) end)(string.find('hello','(l)(l)'))
local function many() return unpack({1,2,3}) end local function all() return many() end return {all()}
return {(function() return string.find('hello','(l)(l)') end)()}
return string.find(nil,'x')
return string.find('x',{})
return string.find({},'x')
return ('x'):find({})
return ('x'):gsub('x')
return ('x'):match('(')
local s='x' return s:find('[')
local a=string.find('abc','(') return a
local a=string.match(nil,'x') return a
local a=('x'):gsub('x',true) return a
local a=setmetatable(5,{}) return a
local a=table.insert(5,1) return a
return {pcall(string.find,'a','(')}
local n=0 for k,v in next,{1,2,3} do n=n+v end return n
return next({5})
return next(5)
return next({},'nokey')
return pairs()
return pairs(5)
return rawget({5},1)
return rawget(5,1)
return rawget(redis,'LOG_DEBUG')
return rawget(string,'nosuch')
rawset(redis,'x',1)
for k,v in pairs(redis) do if k=='LOG_WARNING' then return v end end
local f,t=pairs(redis) t.x=1
return type(next(string))
return cjson.decode(ARGV[1])
return cmsgpack.unpack(ARGV[1])
return bit.band(0xff,0x0f)
return bit.band(1,2,4)
return bit.bor('5',2)
return bit.bor('x')
return bit.bor({})
return bit.bnot(0)
return bit.bxor(5)
return bit.lshift(1,31)
return bit.lshift(1,32)
return bit.lshift(1,-1)
return bit.rshift(-1,28)
return bit.arshift(-256,4)
return bit.rol(0x12345678,12)
return bit.ror(0x12345678,12)
return bit.bswap(0x12345678)
return bit.tohex(255)
return bit.tohex(255,4)
return bit.tohex(255,-4)
return bit.tohex(255,0)
return bit.tohex(-1,20)
return bit.tobit(0xffffffff)
return bit.tobit(2^40+1)
return bit.nosuch
""".strip().splitlines()
