#include <cuda_fp16.h>
#include <cuda_bf16.h>
struct P { int a; float b[3]; double c; };
__constant__ float table[5] = {1.f,2.f,3.f,4.f,5.f};
__device__ int counter = 7;
__device__ const char* names[2] = {"ab","cd"};
__noinline__ __device__ float helper(float x, int n){ float r=0; for(int i=0;i<n;i++) r+=x*table[i%5]; return r; }
__noinline__ __device__ P mk(P p, float k){ p.b[1]+=k; p.a*=2; return p; }
typedef float (*fn)(float,int);
__device__ fn fns[1] = {helper};
extern "C" __global__ void __launch_bounds__(256,2) k(P p, float* out, int n){
  extern __shared__ float sm[];
  __shared__ double st[32];
  int t=threadIdx.x;
  sm[t]=helper(out[t],n); st[t&31]=sin((double)out[t]);
  __syncthreads();
  P q=mk(p,sm[(t+1)%32]);
  switch(q.a){case 0: out[0]=1;break;case 1: out[1]=tanf(out[2]);break;case 2: out[3]=4;break;case 3:out[5]=cosf(out[7]);break;case 4: out[9]=expf(out[8]);break; case 5: out[10]=logf(out[3]); break;}
  if(t==3) printf("hello %d %f %s\n", t, q.b[1], names[t&1]);
  assert(n<100);
  atomicAdd(&counter,1); atomicAdd(out+5,1.0f);
  __half2 h=__floats2half2_rn(out[0],out[1]); h=__hfma2(h,h,h); out[4]=__low2float(h);
  __nv_bfloat162 b=__floats2bfloat162_rn(out[0],out[1]); b=__hfma2(b,b,b); out[6]=__low2float(b);
  out[20]=fns[n&0](out[1],n);
  out[21]=q.c/ p.c; out[22]=(float)(n/7u); out[23]=__shfl_down_sync(~0u,out[1],1);
  if(t<n) __syncwarp(); out[24]=__ballot_sync(~0u,t<n);
  int arr[16]; for(int i=0;i<16;i++) arr[i]=n*i; out[25]=arr[n&15];
}
